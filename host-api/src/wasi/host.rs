use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rand::Rng;
use wasmtime::component::Resource;

use super::cli::GuestExit;
use super::io::{InputStream, IoError, OutputStream, Pollable, StreamFault, Timer, wait};
use crate::HostCtx;
use crate::bindings::wasi::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr,
    terminal_stdin, terminal_stdout,
};
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
use crate::bindings::wasi::io::{error, poll, streams};
use crate::bindings::wasi::random::{insecure, insecure_seed, random};
use crate::log::Stdio;
use crate::meter::Exceeded;

type Streamed<T> = wasmtime::Result<Result<T, streams::StreamError>>;

/// The most random bytes of one call; a guest that wants more asks again.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

impl HostCtx {
    fn answer<T>(&mut self, result: Result<T, StreamFault>) -> Streamed<T> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(StreamFault::Closed) => Ok(Err(streams::StreamError::Closed)),
            Err(StreamFault::Failed(error)) => Ok(Err(streams::StreamError::LastOperationFailed(
                self.push(error)?,
            ))),
            Err(StreamFault::Trap(error)) => Err(error),
        }
    }

    fn random(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > RANDOM_BYTES_MAX {
            return Err(wasmtime::format_err!(
                "more than {RANDOM_BYTES_MAX} random bytes at once"
            ));
        }
        self.charge(len as usize)?;
        let mut bytes = vec![0; len as usize];
        rand::rng().fill_bytes(&mut bytes);
        Ok(bytes)
    }

    async fn splice_ready(&mut self, to: u32, from: u32, len: u64) -> Result<u64, StreamFault> {
        self.writable(to).await?;
        self.readable(from).await?;
        self.splice_now(to, from, len)
    }

    fn splice_now(&mut self, to: u32, from: u32, len: u64) -> Result<u64, StreamFault> {
        let room = self.room(to)? as u64;
        if room.min(len) == 0 {
            return Ok(0);
        }
        let bytes = self.read(from, room.min(len))?;
        let moved = bytes.len() as u64;
        self.write(to, bytes)?;
        Ok(moved)
    }

    fn timer(&mut self, due: Option<Instant>) -> wasmtime::Result<Resource<poll::Pollable>> {
        self.push(Pollable::Timer(Timer { due, sleep: None }))
    }
}

impl error::Host for HostCtx {}

impl error::HostError for HostCtx {
    fn to_debug_string(&mut self, error: Resource<error::Error>) -> wasmtime::Result<String> {
        let text = match self.table.get(error.rep())? {
            IoError::Http(fault) => fault.to_string(),
            IoError::File(fault) => fault.to_string(),
        };
        self.charge(text.len())?;
        Ok(text)
    }

    fn drop(&mut self, error: Resource<error::Error>) -> wasmtime::Result<()> {
        self.table.delete::<IoError>(error.rep()).map(drop)
    }
}

impl poll::Host for HostCtx {
    async fn poll(&mut self, list: Vec<Resource<poll::Pollable>>) -> wasmtime::Result<Vec<u32>> {
        if list.is_empty() {
            return Err(wasmtime::format_err!("poll of an empty list"));
        }
        // Each place is looked at whenever one of them wakes the guest.
        let max = self.entry.limits.handles_max;
        if list.len() > max as usize {
            return Err(Exceeded::Handles(max).into());
        }
        self.charge(list.len() * 4)?;
        let mut ready = Vec::new();
        wait(|cx| {
            for (index, pollable) in (0..).zip(&list) {
                if self.poll_pollable(pollable.rep(), cx)?.is_ready() {
                    ready.push(index);
                }
            }
            Ok(if ready.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            })
        })
        .await?;
        Ok(ready)
    }
}

impl poll::HostPollable for HostCtx {
    fn ready(&mut self, pollable: Resource<poll::Pollable>) -> wasmtime::Result<bool> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        Ok(self.poll_pollable(pollable.rep(), &mut cx)?.is_ready())
    }

    async fn block(&mut self, pollable: Resource<poll::Pollable>) -> wasmtime::Result<()> {
        wait(|cx| self.poll_pollable(pollable.rep(), cx)).await
    }

    fn drop(&mut self, pollable: Resource<poll::Pollable>) -> wasmtime::Result<()> {
        self.table.delete::<Pollable>(pollable.rep()).map(drop)
    }
}

impl streams::Host for HostCtx {}

impl streams::HostInputStream for HostCtx {
    fn read(&mut self, stream: Resource<streams::InputStream>, len: u64) -> Streamed<Vec<u8>> {
        let read = HostCtx::read(self, stream.rep(), len);
        self.answer(read.map(Vec::from))
    }

    async fn blocking_read(
        &mut self,
        stream: Resource<streams::InputStream>,
        len: u64,
    ) -> Streamed<Vec<u8>> {
        self.readable(stream.rep()).await?;
        let read = HostCtx::read(self, stream.rep(), len);
        self.answer(read.map(Vec::from))
    }

    fn skip(&mut self, stream: Resource<streams::InputStream>, len: u64) -> Streamed<u64> {
        let read = HostCtx::read(self, stream.rep(), len);
        self.answer(read.map(|bytes| bytes.len() as u64))
    }

    async fn blocking_skip(
        &mut self,
        stream: Resource<streams::InputStream>,
        len: u64,
    ) -> Streamed<u64> {
        self.readable(stream.rep()).await?;
        let read = HostCtx::read(self, stream.rep(), len);
        self.answer(read.map(|bytes| bytes.len() as u64))
    }

    fn subscribe(
        &mut self,
        stream: Resource<streams::InputStream>,
    ) -> wasmtime::Result<Resource<poll::Pollable>> {
        self.push_child(Pollable::Input(stream.rep()), stream.rep())
    }

    fn drop(&mut self, stream: Resource<streams::InputStream>) -> wasmtime::Result<()> {
        self.table.delete::<InputStream>(stream.rep()).map(drop)
    }
}

impl streams::HostOutputStream for HostCtx {
    fn check_write(&mut self, stream: Resource<streams::OutputStream>) -> Streamed<u64> {
        let room = self.room(stream.rep());
        self.answer(room.map(|room| room as u64))
    }

    fn write(
        &mut self,
        stream: Resource<streams::OutputStream>,
        contents: Vec<u8>,
    ) -> Streamed<()> {
        let written = self.write_permitted(stream.rep(), contents.into());
        self.answer(written)
    }

    async fn blocking_write_and_flush(
        &mut self,
        stream: Resource<streams::OutputStream>,
        contents: Vec<u8>,
    ) -> Streamed<()> {
        let written = self.write_all(stream.rep(), contents.into()).await;
        self.answer(written)
    }

    fn flush(&mut self, stream: Resource<streams::OutputStream>) -> Streamed<()> {
        // What is written is with the connection at once; there is nothing between. Of an upload,
        // `finish` says when it is safe.
        let room = self.room(stream.rep());
        self.answer(room.map(drop))
    }

    async fn blocking_flush(&mut self, stream: Resource<streams::OutputStream>) -> Streamed<()> {
        let room = self.room(stream.rep());
        self.answer(room.map(drop))
    }

    fn subscribe(
        &mut self,
        stream: Resource<streams::OutputStream>,
    ) -> wasmtime::Result<Resource<poll::Pollable>> {
        self.push_child(Pollable::Output(stream.rep()), stream.rep())
    }

    fn write_zeroes(&mut self, stream: Resource<streams::OutputStream>, len: u64) -> Streamed<()> {
        let written = self
            .zeroes(len)
            .and_then(|zeroes| self.write_permitted(stream.rep(), zeroes));
        self.answer(written)
    }

    async fn blocking_write_zeroes_and_flush(
        &mut self,
        stream: Resource<streams::OutputStream>,
        len: u64,
    ) -> Streamed<()> {
        let written = match self.zeroes(len) {
            Ok(zeroes) => self.write_all(stream.rep(), zeroes).await,
            Err(fault) => Err(fault),
        };
        self.answer(written)
    }

    fn splice(
        &mut self,
        to: Resource<streams::OutputStream>,
        from: Resource<streams::InputStream>,
        len: u64,
    ) -> Streamed<u64> {
        let moved = self.splice_now(to.rep(), from.rep(), len);
        self.answer(moved)
    }

    async fn blocking_splice(
        &mut self,
        to: Resource<streams::OutputStream>,
        from: Resource<streams::InputStream>,
        len: u64,
    ) -> Streamed<u64> {
        let moved = self.splice_ready(to.rep(), from.rep(), len).await;
        self.answer(moved)
    }

    fn drop(&mut self, stream: Resource<streams::OutputStream>) -> wasmtime::Result<()> {
        self.table.delete::<OutputStream>(stream.rep()).map(drop)
    }
}

impl HostCtx {
    fn write_permitted(&mut self, stream: u32, bytes: Bytes) -> Result<(), StreamFault> {
        if bytes.len() > self.room(stream)? {
            return Err(wasmtime::format_err!("a write of more than check-write permits").into());
        }
        HostCtx::write(self, stream, bytes)
    }

    fn zeroes(&self, len: u64) -> Result<Bytes, StreamFault> {
        static ZEROES: [u8; 64 << 10] = [0; 64 << 10];
        match ZEROES.get(..usize::try_from(len).unwrap_or(usize::MAX)) {
            Some(zeroes) => Ok(Bytes::from_static(zeroes)),
            None => Err(wasmtime::format_err!("a write of more than check-write permits").into()),
        }
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl monotonic_clock::Host for HostCtx {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(START.elapsed().as_nanos() as u64)
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<poll::Pollable>> {
        self.timer(START.checked_add(Duration::from_nanos(when)))
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<poll::Pollable>> {
        self.timer(Instant::now().checked_add(Duration::from_nanos(when)))
    }
}

impl wall_clock::Host for HostCtx {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(wall_clock::Datetime {
            seconds: now.as_secs(),
            nanoseconds: now.subsec_nanos(),
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime {
            seconds: 0,
            nanoseconds: 1,
        })
    }
}

impl random::Host for HostCtx {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(rand::rng().next_u64())
    }
}

// The insecure ones are the secure ones: the thread's generator is seeded already, and a second
// would save nothing.
impl insecure::Host for HostCtx {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(rand::rng().next_u64())
    }
}

impl insecure_seed::Host for HostCtx {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let mut random = rand::rng();
        Ok((random.next_u64(), random.next_u64()))
    }
}

impl environment::Host for HostCtx {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        let size = self
            .entry
            .environment
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.charge(size)?;
        Ok(self.entry.environment.clone())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl exit::Host for HostCtx {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        Err(GuestExit {
            code: status.is_err().into(),
        }
        .into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(GuestExit { code }.into())
    }
}

impl stdin::Host for HostCtx {
    fn get_stdin(&mut self) -> wasmtime::Result<Resource<streams::InputStream>> {
        self.push(InputStream::Closed)
    }
}

impl stdout::Host for HostCtx {
    fn get_stdout(&mut self) -> wasmtime::Result<Resource<streams::OutputStream>> {
        self.push(OutputStream::Stdio(Stdio::Out))
    }
}

impl stderr::Host for HostCtx {
    fn get_stderr(&mut self) -> wasmtime::Result<Resource<streams::OutputStream>> {
        self.push(OutputStream::Stdio(Stdio::Err))
    }
}

impl terminal_input::Host for HostCtx {}

impl terminal_input::HostTerminalInput for HostCtx {
    fn drop(&mut self, _: Resource<terminal_input::TerminalInput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl terminal_output::Host for HostCtx {}

impl terminal_output::HostTerminalOutput for HostCtx {
    fn drop(&mut self, _: Resource<terminal_output::TerminalOutput>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl terminal_stdin::Host for HostCtx {
    fn get_terminal_stdin(
        &mut self,
    ) -> wasmtime::Result<Option<Resource<terminal_input::TerminalInput>>> {
        Ok(None)
    }
}

impl terminal_stdout::Host for HostCtx {
    fn get_terminal_stdout(
        &mut self,
    ) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}

impl terminal_stderr::Host for HostCtx {
    fn get_terminal_stderr(
        &mut self,
    ) -> wasmtime::Result<Option<Resource<terminal_output::TerminalOutput>>> {
        Ok(None)
    }
}
