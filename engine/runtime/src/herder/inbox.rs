//! What a connector's actor is still to do, and when that outweighs what it is waiting for.

use std::collections::VecDeque;

use millrace_api::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, watch};

use super::actor::Command;
use crate::connector::STOP_TIMEOUT;

/// Commands a connector's actor may have waiting. More would mean that somebody hammers a
/// connector that hangs; they wait for room.
pub(crate) const COMMANDS: usize = 16;

/// The commands of one connector.
pub(crate) struct Inbox {
    commands: mpsc::Receiver<Command>,
    /// Received while something else was waited for.
    waiting: VecDeque<Command>,
    /// True once everything is to end, whatever else was asked for.
    stopping: watch::Receiver<bool>,
}

impl Inbox {
    pub(crate) fn new(commands: mpsc::Receiver<Command>, stopping: watch::Receiver<bool>) -> Self {
        Self { commands, waiting: VecDeque::new(), stopping }
    }

    /// Whether everything is to end.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// The next command; none once everything is to end, also because nobody is left to say so.
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Command> {
        tokio::select! {
            biased;
            () = told(self.stopping.clone()) => None,
            command = async {
                match self.waiting.pop_front() {
                    Some(command) => Some(command),
                    None => self.commands.recv().await,
                }
            } => command,
        }
    }

    /// What a plugin answers. One that hangs is given up: at once when everything is to end, and
    /// [as long as a connector may take to stop](STOP_TIMEOUT) after a command came that replaces
    /// what is being done.
    pub(crate) async fn unless_replaced<T>(
        &mut self,
        name: &str,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let stopping = self.stopping.clone();
        tokio::select! {
            biased;
            answer = answer => answer,
            () = told(stopping) => {
                let message = format!("Connector {name} was stopped before it had started");
                Err(Error::new(ErrorKind::NotFound, message))
            }
            () = self.replaced() => {
                let seconds = STOP_TIMEOUT.as_secs();
                let message = format!(
                    "Connector {name} did not answer within {seconds} s after another request had \
                     come, and was given up"
                );
                Err(Error::fatal(message))
            }
        }
    }

    /// Returns a while after a command came that replaces what is being done. Cancel-safe.
    async fn replaced(&mut self) {
        while !self.waiting.iter().any(Command::replaces) && self.waiting.len() < COMMANDS {
            match self.commands.recv().await {
                Some(command) => self.waiting.push_back(command),
                None => return,
            }
        }
        tokio::time::sleep(STOP_TIMEOUT).await;
    }
}

/// Returns once everything is to end, also because nobody is left to say so.
async fn told(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
