//! A schema registry of a few lines, on loopback: it knows some schemas by id, and nothing else.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The id of a schema of texts.
pub(super) const TEXT: u32 = 1;
/// The id of a schema of decimals with two digits after the point.
pub(super) const DECIMAL: u32 = 2;

/// Starts it for as long as the test runs, and gives its URL.
pub(super) async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn serve(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some(path) = path(&mut stream).await {
        let (status, body) = answer(&path);
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    }
}

/// Reads a request; none when there is no other.
async fn path(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut path, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            stream.read_exact(&mut vec![0; length]).await.ok()?;
            return path;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        path.get_or_insert_with(|| line.split(' ').nth(1).unwrap().to_owned());
    }
}

fn answer(path: &str) -> (u16, String) {
    let id = path.strip_prefix("/schemas/ids/").and_then(|rest| rest.split('?').next());
    let schema = match id.map(str::parse) {
        Some(Ok(TEXT)) => r#""string""#,
        Some(Ok(DECIMAL)) => r#"{"type":"bytes","logicalType":"decimal","precision":38,"scale":2}"#,
        Some(_) => {
            return (404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned());
        }
        None => return (404, r#"{"error_code":40401,"message":"Subject not found"}"#.to_owned()),
    };
    (200, serde_json::json!({ "schema": schema }).to_string())
}
