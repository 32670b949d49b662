//! Reads the standard input, which cannot be waited for: a thread of its own blocks on it.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};
use std::thread;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

const CHUNK_BYTES: usize = 64 << 10;

/// What was read from an input that cannot seek, in order. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Chunks(Arc<Mutex<mpsc::Receiver<io::Result<Bytes>>>>);

impl Chunks {
    /// The process's standard input. Its thread lives on when a task ends, as nothing can wake it
    /// from its read; the next task takes over what it has read.
    pub(crate) fn standard_input() -> Self {
        static CHUNKS: OnceLock<Chunks> = OnceLock::new();
        CHUNKS.get_or_init(|| Self::of(io::stdin())).clone()
    }

    /// At most two chunks are read ahead.
    pub(crate) fn of(mut input: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = mpsc::channel(1);
        thread::spawn(move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match input.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(n) => {
                        chunk.truncate(n);
                        Ok(Bytes::from(chunk))
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                    Err(e) => Err(e),
                };
                let failed = read.is_err();
                if sender.blocking_send(read).is_err() || failed {
                    break;
                }
            }
        });
        Self(Arc::new(Mutex::new(receiver)))
    }

    /// The next chunk, once there is one; none at the end of the input. Cancel-safe.
    pub(crate) async fn next(&self) -> io::Result<Option<Bytes>> {
        self.0.lock().await.recv().await.transpose()
    }
}
