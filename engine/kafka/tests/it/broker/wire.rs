//! A connection on which a test says exactly what it wants.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::PATIENCE;

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub(crate) struct Wire {
    stream: TcpStream,
    correlation_id: i32,
    versions: BTreeMap<i16, (i16, i16)>,
}

impl Wire {
    pub(crate) async fn connect(bootstrap: &str) -> Self {
        let stream = TcpStream::connect(bootstrap).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut wire = Self { stream, correlation_id: 0, versions: BTreeMap::new() };
        let answer = wire.call_as(&ApiVersionsRequest::default(), 0).await;
        let versions = answer.api_keys.iter();
        wire.versions = versions.map(|v| (v.api_key, (v.min_version, v.max_version))).collect();
        wire
    }

    /// The newest version that both know.
    pub(crate) fn version<R: Request>(&self) -> i16 {
        let (_, newest) = self.versions[&R::KEY];
        newest.min(R::VERSIONS.max)
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R) -> R::Response {
        self.call_as(request, self.version::<R>()).await
    }

    pub(crate) async fn call_as<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.send(request, version).await;
        self.receive::<R>(version).await
    }

    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) {
        self.correlation_id += 1;
        let mut bytes = BytesMut::new();
        bytes.put_i32(0);
        RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(text("wire")))
            .encode(&mut bytes, R::header_version(version))
            .unwrap();
        request.encode(&mut bytes, version).unwrap();
        let length = bytes.len() as i32 - 4;
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&bytes).await.unwrap();
    }

    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        let length = tokio::time::timeout(PATIENCE, self.stream.read_i32()).await.unwrap().unwrap();
        let mut answer = vec![0; length as usize];
        self.stream.read_exact(&mut answer).await.unwrap();
        let mut answer = Bytes::from(answer);
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut answer, header_version).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let decoded = R::Response::decode(&mut answer, version).unwrap();
        assert!(!answer.has_remaining(), "bytes are left of an answer to API {}", R::KEY);
        assert!(version <= R::Response::VERSIONS.max);
        decoded
    }
}
