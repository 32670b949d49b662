//! Speaks PostgreSQL's protocol, for reading: a session with one server, its small answers as rows,
//! and the data of a COPY where they lie in what was received.

mod answer;
mod input;
mod message;
mod password;
mod socket;
mod tls;

use std::io;
use std::ops::Range;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use self::answer::Answer;
use self::input::Input;
use self::message::{Body, Outgoing, broken};
pub(super) use self::message::{Described, Parameter, Row};
use self::password::Scram;
use self::socket::Socket;
pub(super) use self::tls::Certificates;

/// Where a server is and who connects.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) options: PgConnectOptions,
    /// What the options hold, too, but do not show.
    pub(super) password: Option<String>,
    pub(super) certificates: Certificates,
    /// How long the server may keep silent when it is asked; none: for ever.
    pub(super) socket_timeout: Option<Duration>,
}

/// A session with a server. A call whose answer was not taken to its end, or that was dropped
/// half-way, makes it useless: later ones are refused.
pub(super) struct Session {
    socket: Socket,
    input: Input,
    /// Whether the server waits for us.
    is_ready: bool,
    /// How long it may keep silent when it does not.
    socket_timeout: Option<Duration>,
}

/// A message that came: its kind, and where its body lies.
type Message = (u8, Range<usize>);

/// So much has come of a COPY that more will.
const MUCH: usize = 256 << 10;

impl Session {
    /// Connects, and says who we are.
    pub(super) async fn connect(access: &Access) -> sqlx::Result<Self> {
        let options = &access.options;
        let socket = Socket::connect(options.get_host(), options.get_port()).await?;
        let socket = encrypt(socket, access).await?;
        let socket_timeout = access.socket_timeout;
        let mut session = Self { socket, input: Input::default(), is_ready: false, socket_timeout };
        session.begin(access).await?;
        Ok(session)
    }

    async fn begin(&mut self, access: &Access) -> sqlx::Result<()> {
        const VERSION: [u8; 4] = [0, 3, 0, 0];
        let options = &access.options;
        let mut out = Outgoing::default();
        out.message(None, |out| {
            out.0.extend(VERSION);
            let settings = [
                ("user", Some(options.get_username())),
                ("database", options.get_database()),
                // The text of values must not depend on the server's settings.
                ("DateStyle", Some("ISO, MDY")),
                ("client_encoding", Some("UTF8")),
                ("TimeZone", Some("UTC")),
                ("extra_float_digits", Some("2")),
                ("application_name", options.get_application_name()),
                ("options", options.get_options()),
            ];
            for (name, value) in settings {
                if let Some(value) = value {
                    out.text(name)?;
                    out.text(value)?;
                }
            }
            out.0.push(0);
            Ok(())
        })?;
        self.send(out).await?;
        loop {
            let (kind, body) = self.receive().await?;
            match kind {
                b'R' => self.authenticate(access, body).await?,
                // How to cancel: nobody needs to, who can hang up.
                b'K' => {}
                b'Z' => {
                    self.is_ready = true;
                    return Ok(());
                }
                _ => return Err(broken("a session begins with an unknown message")),
            }
        }
    }

    /// Answers a server that wants to know who we are.
    async fn authenticate(&mut self, access: &Access, body: Range<usize>) -> sqlx::Result<()> {
        let password = access.password.as_deref().unwrap_or_default();
        let mut body = Body(self.input.bytes(body));
        let proof = match body.int4()? {
            0 => return Ok(()),
            3 => password.to_owned(),
            5 => password::md5(access.options.get_username(), password, body.bytes(4)?),
            10 => {
                while !body.0.is_empty() {
                    if body.lossy_text()? == "SCRAM-SHA-256" {
                        return self.scram(Scram::new(password)?).await;
                    }
                }
                return Err(broken("the server wants a kind of SASL other than SCRAM-SHA-256"));
            }
            _ => return Err(broken("the server wants a proof of identity that is not known here")),
        };
        let mut out = Outgoing::default();
        out.message(Some(b'p'), |out| out.text(&proof))?;
        self.send(out).await
    }

    async fn scram(&mut self, scram: Scram) -> sqlx::Result<()> {
        let first = scram.first();
        let mut out = Outgoing::default();
        out.message(Some(b'p'), |out| {
            out.text("SCRAM-SHA-256")?;
            out.0.extend((first.len() as u32).to_be_bytes());
            out.0.extend(first.as_bytes());
            Ok(())
        })?;
        self.send(out).await?;
        let challenge = self.of_scram(11).await?;
        let answered = tokio::task::spawn_blocking(move || scram.answer(&challenge)).await;
        let (answer, proven) = answered.map_err(|_| sqlx::Error::WorkerCrashed)??;
        let mut out = Outgoing::default();
        out.message(Some(b'p'), |out| {
            out.0.extend(answer.as_bytes());
            Ok(())
        })?;
        self.send(out).await?;
        proven.check(&self.of_scram(12).await?)
    }

    /// The server's next part of an exchange.
    async fn of_scram(&mut self, step: i32) -> sqlx::Result<String> {
        let (kind, body) = self.receive().await?;
        let mut body = Body(self.input.bytes(body));
        if kind != b'R' || body.int4()? != step {
            return Err(broken("SCRAM goes on in another way"));
        }
        Ok(String::from_utf8_lossy(body.0).into_owned())
    }

    /// Runs statements that have no parameters; their rows are of no interest.
    pub(super) async fn run(&mut self, sql: &str) -> sqlx::Result<()> {
        self.query(sql).await?;
        self.until_ready(|_, _| Ok(())).await
    }

    /// The rows of a statement that gives few.
    pub(super) async fn rows(
        &mut self,
        sql: &str,
        parameters: &[Parameter],
    ) -> sqlx::Result<Vec<Row>> {
        let mut out = Outgoing::default();
        out.parse(sql, parameters)?;
        out.execute(parameters)?;
        out.sync()?;
        self.ask(out).await?;
        let mut rows = Vec::new();
        let row = |kind, body: Body<'_>| {
            if kind == b'D' {
                rows.push(body.row()?);
            }
            Ok(())
        };
        self.until_ready(row).await?;
        Ok(rows)
    }

    /// The row of a statement that gives one.
    pub(super) async fn row(&mut self, sql: &str, parameters: &[Parameter]) -> sqlx::Result<Row> {
        self.rows(sql, parameters).await?.pop().ok_or(sqlx::Error::RowNotFound)
    }

    /// The columns that a statement would give. Locks its tables, within a transaction.
    pub(super) async fn describe(&mut self, sql: &str) -> sqlx::Result<Vec<Described>> {
        let mut out = Outgoing::default();
        out.parse(sql, &[])?;
        out.message(Some(b'D'), |out| {
            out.0.push(b'S');
            out.text("")
        })?;
        out.sync()?;
        self.ask(out).await?;
        let mut columns = Vec::new();
        let described = |kind, body: Body<'_>| {
            if kind == b'T' {
                columns = body.columns()?;
            }
            Ok(())
        };
        self.until_ready(described).await?;
        Ok(columns)
    }

    /// Begins a COPY to us in the binary format.
    pub(super) async fn begin_copy(&mut self, sql: &str) -> sqlx::Result<()> {
        self.query(sql).await?;
        match self.receive().await {
            Ok((b'H', body)) if self.input.bytes(body.clone()).first() == Some(&1) => Ok(()),
            Ok(_) => Err(broken("a COPY does not begin with binary data")),
            Err(error) => Err(self.after(error).await),
        }
    }

    /// Waits for data of the COPY. False: there are no more, and the session is ready again.
    pub(super) async fn has_copied(&mut self) -> sqlx::Result<bool> {
        loop {
            match self.input.peek()? {
                Some((b'd', length)) if length <= self.input.len() => {
                    self.socket.set_flowing(self.input.since_mark() > MUCH);
                    return Ok(true);
                }
                Some((_, length)) if length <= self.input.len() => match self.next() {
                    Ok(None) => {}
                    Ok(Some((b'c', _))) => break,
                    Ok(Some(_)) => return Err(broken("a COPY is interrupted by another message")),
                    Err(error) => return Err(self.after(error).await),
                },
                _ => self.fill().await?,
            }
        }
        self.socket.set_flowing(false);
        self.until_ready(|_, _| Ok(())).await?;
        Ok(false)
    }

    /// Where the next data of the COPY lie in what was [received](Self::received); none: wait for
    /// more.
    #[inline]
    pub(super) fn copied(&mut self) -> Option<Range<usize>> {
        self.input.take_if(b'd')
    }

    /// What was received. It moves when more is waited for.
    #[inline]
    pub(super) fn received(&self) -> &[u8] {
        self.input.all()
    }

    /// Ends the session.
    pub(super) async fn close(mut self) {
        let mut out = Outgoing::default();
        // The server forgets the session either way.
        if out.message(Some(b'X'), |_| Ok(())).is_ok() && self.send(out).await.is_ok() {
            let _ = self.socket.shutdown().await;
        }
    }

    /// Sends statements without parameters.
    async fn query(&mut self, sql: &str) -> sqlx::Result<()> {
        let mut out = Outgoing::default();
        out.message(Some(b'Q'), |out| out.text(sql))?;
        self.input.mark();
        self.ask(out).await
    }

    /// Sends what will be answered until the server waits for us again.
    async fn ask(&mut self, out: Outgoing) -> sqlx::Result<()> {
        if !std::mem::take(&mut self.is_ready) {
            let lost = "the session was lost in an earlier request";
            return Err(io::Error::new(io::ErrorKind::NotConnected, lost).into());
        }
        self.send(out).await
    }

    /// Takes all messages up to where the server waits for us.
    async fn until_ready(
        &mut self,
        mut each: impl FnMut(u8, Body<'_>) -> sqlx::Result<()>,
    ) -> sqlx::Result<()> {
        loop {
            match self.receive().await {
                Ok((b'Z', _)) => {
                    self.is_ready = true;
                    return Ok(());
                }
                Ok((b'G' | b'H' | b'W', _)) => return Err(broken("nobody has asked for a COPY")),
                Ok((kind, body)) => each(kind, Body(self.input.bytes(body)))?,
                Err(error) => return Err(self.after(error).await),
            }
        }
    }

    /// An error, once the session is ready again if it is to be.
    async fn after(&mut self, error: sqlx::Error) -> sqlx::Error {
        if matches!(error, sqlx::Error::Database(_)) {
            // It says what is wrong; that the server hangs up afterwards adds nothing.
            while let Ok((kind, _)) = self.receive().await {
                if kind == b'Z' {
                    self.is_ready = true;
                    break;
                }
            }
        }
        error
    }

    /// The next message that is meant for us. Errors are errors.
    async fn receive(&mut self) -> sqlx::Result<Message> {
        loop {
            match self.input.peek()? {
                Some((_, length)) if length <= self.input.len() => {
                    if let Some(message) = self.next()? {
                        return Ok(message);
                    }
                }
                _ => self.fill().await?,
            }
        }
    }

    /// Takes the next message, if all of it is there. What the server says by the way is dealt with,
    /// and is none.
    fn next(&mut self) -> sqlx::Result<Option<Message>> {
        let Some((kind, body)) = self.input.take()? else { return Ok(None) };
        let bytes = Body(self.input.bytes(body.clone()));
        match kind {
            b'E' => return Err(Answer::read(bytes)?.into_error()),
            b'N' => Answer::read(bytes)?.log(),
            // A setting that changed, somebody's notification.
            b'S' | b'A' => {}
            _ => return Ok(Some((kind, body))),
        }
        Ok(None)
    }

    /// Receives more.
    async fn fill(&mut self) -> sqlx::Result<()> {
        let read = self.socket.read(self.input.room());
        let count = match self.socket_timeout {
            None => read.await?,
            Some(limit) => timeout(limit, read).await.map_err(|_| {
                let silent = format!("the server keeps silent (socketTimeout: {limit:?})");
                io::Error::new(io::ErrorKind::TimedOut, silent)
            })??,
        };
        if count == 0 {
            let gone = "the server closed the connection";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, gone).into());
        }
        self.input.received(count);
        Ok(())
    }

    async fn send(&mut self, out: Outgoing) -> sqlx::Result<()> {
        self.socket.write_all(&out.0).await?;
        Ok(self.socket.flush().await?)
    }
}

/// Goes on encrypted where the mode wants it and the server does.
async fn encrypt(mut socket: Socket, access: &Access) -> sqlx::Result<Socket> {
    const ASKS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mode = access.options.get_ssl_mode();
    if matches!(mode, PgSslMode::Disable | PgSslMode::Allow) {
        return Ok(socket);
    }
    socket.write_all(&ASKS).await?;
    match socket.read_u8().await? {
        b'S' => {
            let config = tls::config(mode, &access.certificates).await?;
            Ok(socket.encrypted(config, access.options.get_host()).await?)
        }
        b'N' if matches!(mode, PgSslMode::Prefer) => Ok(socket),
        b'N' => Err(sqlx::Error::Tls("server does not support TLS".into())),
        _ => Err(broken("the server answers neither yes nor no when it is asked for TLS")),
    }
}

#[cfg(test)]
mod tests;
