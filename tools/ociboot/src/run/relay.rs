//! The threads between QEMU's channels and the user's streams. Each ends with
//! its channel, that is, with QEMU.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown};

use super::outcome::Event;
use super::tap;
use super::terminal::Escape;

/// What the threads tell the one that watches.
pub enum News {
    Status(Event),
    /// The next bytes of the console.
    Console(Vec<u8>),
    /// The console or the status channel is closed: QEMU has ended.
    End,
    /// Bytes of the artifacts have come.
    Delivery,
    /// The artifacts' channel is closed, too.
    Artifacts(anyhow::Result<super::artifacts::Received>),
    /// A signal to us.
    Signal(i32),
    /// The user typed the escape.
    Escape,
}

/// Bytes taken from the guest before whoever reads our output has taken them.
/// A guest that is further ahead waits; until then none of it can get lost
/// when the guest powers off.
const AHEAD: usize = 16 << 20;

/// One piece of output.
const PIECE: usize = 64 << 10;

/// What an output stream came to.
#[derive(Default)]
pub struct Passed {
    pub tap: Option<tap::Tap>,
    /// Why the rest of it could not be written.
    pub lost: Option<std::io::Error>,
}

/// Passes one output stream on, byte for byte.
pub fn output(channel: OwnedFd, mut to: Box<dyn Write + Send>) -> JoinHandle<Passed> {
    let queue = Arc::new(Queue::default());
    let filling = Arc::clone(&queue);
    std::thread::spawn(move || filling.fill(File::from(channel)));
    std::thread::spawn(move || {
        let (mut reader, mut lost) = (tap::Reader::default(), None);
        while let Some(piece) = queue.next() {
            reader.take(&piece);
            if let Err(error) = to.write_all(&piece).and_then(|()| to.flush()) {
                // As with a pipe, the writer is told. That nobody reads it any longer is no fault.
                lost = (error.kind() != ErrorKind::BrokenPipe).then_some(error);
                queue.give_up();
                break;
            }
        }
        Passed { tap: reader.finish(), lost }
    })
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    ended: bool,
    given_up: bool,
}

impl Queue {
    fn fill(&self, mut channel: File) {
        let mut piece = vec![0; PIECE];
        loop {
            let count = channel.read(&mut piece).unwrap_or(0);
            let Ok(mut state) = self.state.lock() else { return };
            state.ended |= count == 0;
            if count > 0 {
                state.pieces.push_back(piece[..count].to_vec());
                state.bytes += count;
            }
            self.changed.notify_all();
            while state.bytes > AHEAD && !state.given_up {
                let Ok(next) = self.changed.wait(state) else { return };
                state = next;
            }
            if state.ended || state.given_up {
                return;
            }
        }
    }

    fn next(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock().ok()?;
        while state.pieces.is_empty() && !state.ended {
            state = self.changed.wait(state).ok()?;
        }
        let piece = state.pieces.pop_front()?;
        state.bytes -= piece.len();
        self.changed.notify_all();
        Some(piece)
    }

    fn give_up(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.given_up = true;
            self.changed.notify_all();
        }
    }
}

/// Passes the input on until it or the channel ends, or `stop` is closed; the
/// end of the input is told by shutting the channel down for writing only,
/// since QEMU drops what it has not read yet when it sees a whole hang-up.
pub fn input(from: OwnedFd, channel: OwnedFd, stop: OwnedFd, escape: bool, news: Sender<News>) {
    std::thread::spawn(move || {
        let (mut piece, mut typed) = (vec![0; PIECE], Escape::default());
        loop {
            let mut waits = [
                PollFd::new(&from, PollFlags::IN),
                PollFd::new(&stop, PollFlags::IN),
                PollFd::new(&channel, PollFlags::empty()),
            ];
            match poll(&mut waits, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => break,
            }
            if !waits[1].revents().is_empty() || !waits[2].revents().is_empty() {
                return;
            }
            match rustix::io::read(&from, &mut piece) {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    if escape && typed.take(&piece[..count]) {
                        let _ = news.send(News::Escape);
                    }
                    if write_all(&channel, &piece[..count]).is_err() {
                        return;
                    }
                }
            }
        }
        let _ = shutdown(&channel, Shutdown::Write);
        // The other direction stays open until QEMU has read everything.
        let mut waits = [PollFd::new(&stop, PollFlags::IN), PollFd::new(&channel, PollFlags::empty())];
        while matches!(poll(&mut waits, None), Err(rustix::io::Errno::INTR)) {}
    });
}

/// Without the signal that a closed socket would send.
fn write_all(channel: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(channel, bytes, rustix::net::SendFlags::NOSIGNAL) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads the lines of the status channel.
pub fn status(channel: OwnedFd, news: Sender<News>) {
    /// A longer line is not ocinit's.
    const LINE: u64 = 64 << 10;
    std::thread::spawn(move || {
        let mut reader = BufReader::new(File::from(channel));
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.by_ref().take(LINE).read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            if let Some(event) = Event::parse(&String::from_utf8_lossy(&line)) {
                let _ = news.send(News::Status(event));
            }
        }
        let _ = news.send(News::End);
    });
}

/// Passes the console on to the one that watches, and to a file.
pub fn console(channel: OwnedFd, mut file: Option<File>, news: Sender<News>) {
    std::thread::spawn(move || {
        let (mut channel, mut piece) = (File::from(channel), vec![0; PIECE]);
        while let Ok(count @ 1..) = channel.read(&mut piece) {
            if let Some(file) = &mut file {
                let _ = file.write_all(&piece[..count]);
            }
            let _ = news.send(News::Console(piece[..count].to_vec()));
        }
        let _ = news.send(News::End);
    });
}
