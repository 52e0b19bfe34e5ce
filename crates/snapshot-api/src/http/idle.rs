//! Ending connections that nobody uses.
//!
//! actix-http limits how long the first head of a connection may take, and how long nothing may come after an answer. A later
//! head of which one byte has come may take for ever, so that connections could be held by who has no token.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd as _, OwnedFd},
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use actix_web::{
    body::{BoxBody, MessageBody as _},
    dev::{Extensions, ServiceRequest},
    rt,
    rt::net::TcpStream,
};
use rustix::net::{Shutdown, shutdown};

use super::held;

/// How far apart two looks at the connections of a thread are, at most.
const LOOK: Duration = Duration::from_secs(1);

thread_local! {
    /// Those that this thread serves.
    static CONNECTIONS: RefCell<Vec<Weak<Connection>>> = const { RefCell::new(Vec::new()) };
}

/// One that is open.
struct Connection {
    /// Its own descriptor: the one of the server is out of reach.
    socket: OwnedFd,
    /// Since when no request of it runs. None: one does.
    unused_since: Cell<Option<Instant>>,
}

/// Ends a connection that has just been opened once no request of it has run for `limit`, or at most a second later. To be
/// called on the thread that serves it, with the data that requests are given of their connection.
///
/// # Errors
///
/// When there are no file descriptors left.
pub fn end_when_unused(connection: &dyn Any, data: &mut Extensions, limit: Duration) -> io::Result<()> {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return Ok(());
    };
    let connection = Rc::new(Connection {
        socket: stream.as_fd().try_clone_to_owned()?,
        unused_since: Cell::new(Some(Instant::now())),
    });
    let is_first = CONNECTIONS.with_borrow_mut(|connections| {
        connections.push(Rc::downgrade(&connection));
        connections.len() == 1
    });
    data.insert(connection);
    if is_first {
        rt::spawn(end_unused(limit));
    }
    Ok(())
}

/// Looks at the connections of this thread again and again, for as long as there are any.
async fn end_unused(limit: Duration) {
    let mut ticks = rt::time::interval(limit.min(LOOK));
    let mut are_left = true;
    while are_left {
        ticks.tick().await;
        are_left = CONNECTIONS.with_borrow_mut(|connections| {
            connections.retain(|connection| match connection.upgrade() {
                Some(connection) => {
                    connection.end_if_unused(limit);
                    true
                }
                None => false,
            });
            !connections.is_empty()
        });
    }
}

impl Connection {
    fn end_if_unused(&self, limit: Duration) {
        if self.unused_since.get().is_some_and(|since| since.elapsed() > limit) {
            // It fails for what the client has ended meanwhile.
            let _ = shutdown(&self.socket, Shutdown::Both);
        }
    }
}

/// A request that runs: its connection is in use until this is dropped.
pub(super) struct Running(Option<Rc<Connection>>);

impl Running {
    pub(super) fn begin(request: &ServiceRequest) -> Self {
        let connection = request.request().conn_data::<Rc<Connection>>();
        if let Some(connection) = connection {
            connection.unused_since.set(None);
        }
        Self(connection.cloned())
    }

    /// The body of the answer, which is part of the request if it is made while it is sent.
    pub(super) fn until_the_end_of(self, body: BoxBody) -> BoxBody {
        match body.try_into_bytes() {
            Ok(whole) => BoxBody::new(whole),
            Err(body) => held::until_the_end_of(body, self),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.unused_since.set(Some(Instant::now()));
        }
    }
}
