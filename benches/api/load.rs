//! A load generator: one thread, one request at a time on each of many connections, as fast as the answers come.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
};

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The median time to an answer, in milliseconds.
    pub(crate) median_ms: f64,
    /// The 99th percentile of the time to an answer, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Writes the next request of a connection, given the head of its last answer.
pub(crate) type Script<'a> = dyn FnMut(Option<&str>, &mut Vec<u8>) + 'a;

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    asked: Instant,
}

/// Asks on so many connections for so long.
///
/// # Errors
///
/// When a connection fails, or an answer is not of the 200s.
pub(crate) fn run(
    address: &str,
    connections: usize,
    duration: Duration,
    script: &mut Script<'_>,
) -> anyhow::Result<Measured> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut open = Vec::with_capacity(connections);
    for number in 0..connections {
        let stream = TcpStream::connect(address).context("connecting failed")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &poll,
            &stream,
            epoll::EventData::new_u64(number as u64),
            epoll::EventFlags::IN,
        )?;
        open.push(Connection {
            stream,
            request: Vec::new(),
            answer: Vec::with_capacity(64 << 10),
            asked: Instant::now(),
        });
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    for connection in &mut open {
        connection.ask(None, script)?;
    }
    let mut events = Vec::with_capacity(connections);
    while begun.elapsed() < duration {
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), Some(&patience))?;
        for event in &events {
            let connection = &mut open[usize::try_from(event.data.u64())?];
            if let Some(took) = connection.read(script)? {
                times.push(took);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    // What is asked already is waited for, so that nothing is left to disturb what comes next.
    for connection in &mut open {
        connection.finish()?;
    }
    Ok(measured(times, seconds))
}

/// Sums up how long single requests took, of which all together took so many seconds.
pub(crate) fn measured(mut times: Vec<Duration>, seconds: f64) -> Measured {
    times.sort_unstable();
    let at = |share: usize| {
        let time = times.get(times.len() * share / 100).or(times.last());
        time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    Measured {
        rate: times.len() as f64 / seconds,
        median_ms: at(50),
        p99_ms: at(99),
    }
}

impl Connection {
    fn ask(&mut self, last: Option<&str>, script: &mut Script<'_>) -> io::Result<()> {
        self.request.clear();
        script(last, &mut self.request);
        self.asked = Instant::now();
        // A request is small, and nothing else is on its way.
        self.stream.write_all(&self.request)
    }

    /// Takes what is there; when the answer is whole, tells how long it took, and asks again.
    fn read(&mut self, script: &mut Script<'_>) -> anyhow::Result<Option<Duration>> {
        if !self.take()? {
            return Ok(None);
        }
        let took = self.asked.elapsed();
        let answer = std::mem::take(&mut self.answer);
        let end = end_of_head(&answer).context("an answer has no head")?;
        self.ask(Some(std::str::from_utf8(&answer[..end])?), script)?;
        self.answer = answer;
        self.answer.clear();
        Ok(Some(took))
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.stream.set_nonblocking(false)?;
        while !self.take()? {}
        Ok(())
    }

    /// Reads once; whether the answer is whole.
    fn take(&mut self) -> anyhow::Result<bool> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => bail!("the connection was closed"),
            Ok(read) => self.answer.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(end) = end_of_head(&self.answer) else {
            return Ok(false);
        };
        let head = std::str::from_utf8(&self.answer[..end])?;
        ensure!(
            head.starts_with("HTTP/1.1 2"),
            "answered with {}",
            String::from_utf8_lossy(&self.answer)
        );
        Ok(self.answer.len() >= end + header(head, "content-length").context("no length")?.parse::<usize>()?)
    }
}

fn end_of_head(answer: &[u8]) -> Option<usize> {
    answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// A header of an answer, by its name in small letters.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n")
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
