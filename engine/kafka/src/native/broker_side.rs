//! The other end of a connection, for tests that play brokers: frames, headers and versions. What
//! is answered is theirs.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The next request; none once the client is gone.
pub(super) async fn next(stream: &mut DuplexStream) -> Option<Bytes> {
    let length = stream.read_i32().await.ok()?;
    let mut request = vec![0; usize::try_from(length).unwrap()];
    stream.read_exact(&mut request).await.ok()?;
    Some(request.into())
}

/// A request and its correlation id.
pub(super) fn read<R: Request>(bytes: &mut Bytes, version: i16) -> (i32, R) {
    let header = RequestHeader::decode(bytes, R::header_version(version)).unwrap();
    let request = R::decode(bytes, version).unwrap();
    assert!(bytes.is_empty(), "the request is longer than its version");
    (header.correlation_id, request)
}

pub(super) fn written<R: Encodable + HeaderVersion>(
    id: i32,
    version: i16,
    response: &R,
) -> BytesMut {
    let mut frame = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(id);
    header.encode(&mut frame, R::header_version(version)).unwrap();
    response.encode(&mut frame, version).unwrap();
    frame
}

/// Sends an answer; none when the client is gone.
pub(super) async fn send(stream: &mut DuplexStream, answer: &[u8]) -> Option<()> {
    stream.write_i32(i32::try_from(answer.len()).unwrap()).await.ok()?;
    stream.write_all(answer).await.ok()
}

/// The newest version of each API that is played.
pub(super) fn versions(newest: &[(i16, i16)]) -> ApiVersionsResponse {
    let api =
        |(key, max): &(i16, i16)| ApiVersion::default().with_api_key(*key).with_max_version(*max);
    ApiVersionsResponse::default().with_api_keys(newest.iter().map(api).collect())
}
