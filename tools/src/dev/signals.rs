//! The signals that stop a local cluster, as events.

use std::io;
use std::sync::mpsc::SyncSender;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use super::DevError;
use super::supervisor::Event;

/// Sends [`Event::Stop`] for every SIGINT, SIGTERM and SIGHUP from now on.
pub(super) fn listen(events: SyncSender<Event>) -> Result<(), DevError> {
    let failed = |source: io::Error| DevError::System { what: "listen for signals", source };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut interrupt, mut terminate, mut hangup) = runtime
        .block_on(async {
            Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ))
        })
        .map_err(failed)?;
    let wait = move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if events.send(Event::Stop).is_err() {
                    break;
                }
            }
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(())
}
