//! The HTTP server as a process: listening, and stopping when it is told to.

use std::{any::Any, num::NonZero, time::Duration};

use actix_web::{
    HttpServer,
    rt::{
        self, System,
        net::TcpStream,
        signal::unix::{Signal, SignalKind, signal},
    },
    web::Data,
};
use anyhow::Context as _;
use futures_util::future;
use rustix::net::sockopt;
use snapshot_api::{Api, Changes, end_when_unused, forget_old_answers};

use crate::{app, settings::Settings};

/// Takes the address, calls `listening` with the URL that the service is reached at, and serves until a signal tells it to
/// stop. Then requests that run have the configured time to end.
///
/// # Errors
///
/// When the address can't be listened on, and those of `listening`.
pub(crate) fn serve(
    settings: &Settings,
    api: Data<Api>,
    listening: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (server, limits) = (&settings.server, &settings.limits);
    let stalled_answer_ms = limits.stalled_answer_ms;
    let unused = limits.keep_alive + limits.request_head;
    System::new().block_on(async {
        // It ends with the system that runs it.
        drop(rt::spawn(forget_old_answers(api.clone())));
        let told_to_stop = told_to_stop(api.changes.clone()).context("listening to signals failed")?;
        let http = HttpServer::new(move || app(api.clone()))
            .workers(server.workers.get())
            .max_connections(share(limits.connections, server.workers))
            .worker_max_blocking_threads(share(server.blocking_threads, server.workers))
            .client_request_timeout(limits.request_head)
            .keep_alive(limits.keep_alive)
            .shutdown_timeout(whole_seconds(server.shutdown))
            .shutdown_signal(told_to_stop)
            .on_connect(move |connection, data| {
                give_up_after(stalled_answer_ms, connection);
                if let Err(error) = end_when_unused(connection, data, unused) {
                    log::warn!("a connection may be held without a request: {error}");
                }
            })
            .bind(&server.bind)
            .with_context(|| format!("listening on {} failed (setting `server.bind`)", server.bind))?;
        let addresses = http.addrs();
        let first = addresses.first().context("there is no address to listen on")?;
        let mut reached_at = *first;
        if reached_at.ip().is_unspecified() {
            reached_at.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        listening(&format!("http://{reached_at}"))?;
        for address in &addresses {
            log::info!("listening on http://{address}");
        }
        http.run().await.context("serving failed")
    })
}

/// Lets the kernel close a connection whose client takes nothing of an answer for so long.
fn give_up_after(milliseconds: u32, connection: &dyn Any) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(error) = sockopt::set_tcp_user_timeout(stream, milliseconds) {
        log::warn!("a connection has no limit for a client that takes nothing: {error}");
    }
}

/// Ends when the process is told to stop, by Ctrl-C or by whoever supervises it. Nobody waits for changes any longer then.
fn told_to_stop(changes: Changes) -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        future::select(Box::pin(arrives(&mut terminate)), Box::pin(arrives(&mut interrupt))).await;
        log::info!("told to stop: requests that run are finished first");
        changes.close();
    })
}

async fn arrives(signal: &mut Signal) {
    signal.recv().await;
}

/// What each of several threads may have, so that all together have no more than `total`.
fn share(total: NonZero<usize>, threads: NonZero<usize>) -> usize {
    (total.get() / threads.get()).max(1)
}

/// The web server counts in seconds: a part of one is a whole one.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
