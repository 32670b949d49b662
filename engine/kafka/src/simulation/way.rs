//! Decides how the fates of requests look on one connection: frames go to and fro until one of them
//! has a fate that ends it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, DuplexStream, split};
use tokio::time::{sleep, timeout};

use super::Fate;
use super::network::Network;
use crate::native::FrameReader;

/// How many requests may follow one whose answer is lost, and still be carried out.
const FOLLOWERS: usize = 5;

/// Carries frames between a client and a node until one side or a fate ends it.
pub(super) async fn connect(client: DuplexStream, server: DuplexStream, network: &Network) {
    // A side that is gone ends the connection, as it should.
    let _ = carry(client, server, network).await;
}

async fn carry(client: DuplexStream, server: DuplexStream, network: &Network) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let (mut requests, mut answers) = (FrameReader::default(), FrameReader::default());
    let mut fates: HashMap<i32, Fate> = HashMap::new();
    loop {
        tokio::select! {
            request = requests.next(&mut from_client) => {
                let request = request?;
                let Some((api_key, id)) = key_and_id(&request) else {
                    return Ok(());
                };
                let fate = network.fate(api_key);
                if fate == Fate::RequestLost {
                    return Ok(());
                }
                fates.insert(id, fate);
                send(&mut to_server, &request).await?;
            }
            answer = answers.next(&mut from_server) => {
                let answer = answer?;
                let id = answer.first_chunk().map_or(0, |id| i32::from_be_bytes(*id));
                match fates.remove(&id).unwrap_or(Fate::Arrives) {
                    Fate::Arrives => send(&mut to_client, &answer).await?,
                    Fate::Late(by) => {
                        sleep(by).await;
                        send(&mut to_client, &answer).await?;
                    }
                    Fate::Trickles => trickle(&mut to_client, &answer).await?,
                    Fate::CutShort => {
                        let frame = framed(&answer);
                        to_client.write_all(&frame[..network.below(frame.len())]).await?;
                        return Ok(());
                    }
                    Fate::Stalls => {
                        // Until the client gives up.
                        tokio::io::copy(&mut from_client, &mut tokio::io::sink()).await?;
                        return Ok(());
                    }
                    Fate::RequestLost | Fate::AnswerLost => {
                        for _ in 0..network.below(FOLLOWERS) {
                            let Ok(request) = timeout(MOMENT, requests.next(&mut from_client)).await
                            else {
                                break;
                            };
                            send(&mut to_server, &request?).await?;
                            let _ = timeout(MOMENT, answers.next(&mut from_server)).await;
                        }
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// As long as something that is there takes.
const MOMENT: Duration = Duration::from_millis(1);

/// A request's API key and correlation id.
fn key_and_id(request: &[u8]) -> Option<(i16, i32)> {
    let key = i16::from_be_bytes(*request.first_chunk()?);
    Some((key, i32::from_be_bytes(*request.get(4..)?.first_chunk()?)))
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it was a frame before");
    [&length.to_be_bytes(), body].concat()
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), body: &Bytes) -> io::Result<()> {
    to.write_all(&framed(body)).await
}

async fn trickle(to: &mut (impl AsyncWriteExt + Unpin), body: &Bytes) -> io::Result<()> {
    const PIECES: usize = 20;
    let frame = framed(body);
    for piece in frame.chunks(frame.len().div_ceil(PIECES)) {
        to.write_all(piece).await?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
