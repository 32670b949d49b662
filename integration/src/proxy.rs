//! Decides what lies between a client and a broker: a way that is slow, silent or broken on
//! command.
//!
//! A proxy on loopback needs no rights, and does what a packet filter cannot: it counts, cuts in
//! the middle of a frame, and speaks in a broker's place.

use crate::{block_on, runtime};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What the way does to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// They pass.
    Open,
    /// So many pass a second, in each direction of each connection.
    Slow(u32),
    /// They wait until the way is another one.
    Stalled,
    /// They are gone, and so is all that comes later on the same connection, though nobody is told:
    /// a half-open connection.
    Silent,
    /// The connection is reset.
    Reset,
    /// Half of what a broker says at once passes, then the connection is closed.
    Cut,
    /// A byte near the end of longer answers is another one: that of a record, which a checksum
    /// covers.
    Garbled,
}

/// A way to a broker; gone on drop, with its connections.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    way: Mutex<Way>,
    connections: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { way: Mutex::new(Way::Open), connections: AtomicUsize::new(0) })
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// An open way on this port; nobody has to listen at `target` yet.
    pub fn start(port: u16, target: String) -> Self {
        let shared = Shared::new();
        let accept = shared.clone();
        let accepting = listen(port, move |client| {
            let (shared, target) = (accept.clone(), target.clone());
            async move { carry(client, &target, &shared).await }
        });
        Self { port, shared, accepting: accepting.1 }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on bytes go this way.
    pub fn set(&self, way: Way) {
        *self.shared.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections on a port, 0 for a free one, and serves each. Gives the port.
fn listen<F>(port: u16, serve: impl Fn(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = block_on(TcpListener::bind(("127.0.0.1", port)));
    let listener = listener.unwrap_or_else(|error| panic!("port {port} is taken: {error}"));
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let accepting = runtime().spawn(async move {
        // Dropped with this task, which ends the connections.
        let mut serving = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            serving.spawn(serve(client));
            while serving.try_join_next().is_some() {}
        }
    });
    (port, accepting)
}

/// Carries bytes both ways until one side ends.
async fn carry(client: TcpStream, target: &str, shared: &Shared) {
    shared.connections.fetch_add(1, SeqCst);
    let Ok(broker) = TcpStream::connect(target).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    tokio::select! {
        _ = pump(from_client, to_broker, shared, false) => {}
        _ = pump(from_broker, to_client, shared, true) => {}
    }
}

/// What is read at once. Less of it ends where an answer does.
const BUFFER: usize = 16 * 1024;

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shared: &Shared,
    is_answer: bool,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut is_lost = false;
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        while shared.way() == Way::Stalled {
            sleep(Duration::from_millis(10)).await;
        }
        let bytes = &mut buffer[..length];
        let way = shared.way();
        is_lost |= way == Way::Silent;
        if is_lost {
            continue;
        }
        match way {
            Way::Slow(rate) => {
                for chunk in bytes.chunks(256) {
                    let seconds = chunk.len() as f64 / f64::from(rate.max(1));
                    sleep(Duration::from_secs_f64(seconds)).await;
                    to.write_all(chunk).await?;
                }
                continue;
            }
            Way::Reset => {
                // What was not read when a socket is closed makes the kernel send a reset.
                return to.as_ref().set_zero_linger();
            }
            Way::Cut if is_answer => {
                return to.write_all(&bytes[..length / 2]).await;
            }
            Way::Garbled if is_answer && (250..BUFFER).contains(&length) => {
                bytes[length - 40] ^= 0x55;
            }
            _ => {}
        }
        to.write_all(bytes).await?;
    }
}

/// What speaks in a broker's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impostor {
    /// Accepts, and neither reads nor answers.
    Mute,
    /// Hangs up on each connection.
    HangsUp,
    /// Answers each request with the words of another protocol.
    SpeaksHttp,
    /// Answers each request with bytes that mean nothing.
    Babbles,
    /// Answers with half a frame, and closes.
    StopsMidFrame,
    /// Announces a frame of 2 GiB.
    PromisesMuch,
    /// Announces a frame of a negative length.
    PromisesLess,
    /// Answers a frame without anything in it.
    SaysNothing,
}

/// Somebody who listens like a broker and is none; gone on drop.
#[derive(Debug)]
pub struct Pretender {
    port: u16,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

impl Pretender {
    pub fn start(kind: Impostor) -> Self {
        let shared = Shared::new();
        let count = shared.clone();
        let (port, accepting) = listen(0, move |client| {
            count.connections.fetch_add(1, SeqCst);
            async move { drop(pretend(kind, client).await) }
        });
        Self { port, shared, accepting }
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pretend(kind: Impostor, mut client: TcpStream) -> io::Result<()> {
    match kind {
        Impostor::HangsUp => return Ok(()),
        Impostor::Mute => return std::future::pending().await,
        _ => {}
    }
    let mut request = vec![0; 4096];
    let mut random = fastrand::Rng::with_seed(1);
    while client.read(&mut request).await? > 0 {
        // The request's own number, so that an answer belongs to it.
        let number = &request[8..12];
        match kind {
            Impostor::SpeaksHttp => client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
            Impostor::Babbles => {
                let babble: Vec<u8> = (0..60).map(|_| random.u8(..)).collect();
                client.write_all(&[&64_u32.to_be_bytes(), number, &babble].concat()).await?;
            }
            Impostor::StopsMidFrame => {
                return client.write_all(&[&100_u32.to_be_bytes(), number, &[0; 9]].concat()).await;
            }
            Impostor::PromisesMuch => {
                client.write_all(&[&0x7fff_ffff_u32.to_be_bytes(), number].concat()).await?;
            }
            Impostor::PromisesLess => {
                client.write_all(&[&0xffff_fff0_u32.to_be_bytes(), number].concat()).await?;
            }
            _ => client.write_all(&0_u32.to_be_bytes()).await?,
        }
    }
    Ok(())
}
