//! Writing to the nodes: once a turn, after all clients that were ready have been read, so that
//! requests of many clients share a write.

use std::rc::Rc;

use tokio::net::tcp::OwnedWriteHalf;

use crate::pool::ConnectionKey;
use crate::worker::Worker;
use crate::worker::node_task::start_tasks;

/// Runs for the life of the worker. Being woken puts it behind every task that is ready already.
pub(crate) async fn flush_task(worker: Rc<Worker>) {
    let mut dirty = Vec::new();
    loop {
        worker.flush.notified().await;
        start_tasks(&worker);
        worker.pool.borrow_mut().take_dirty(&mut dirty);
        for key in &dirty {
            write_out(&worker, *key);
        }
    }
}

/// Writes what the connection holds. What the socket does not take now, a task of its own writes.
pub(crate) fn write_out(worker: &Rc<Worker>, key: ConnectionKey) {
    let Some(writer) = worker.writers.borrow().get(&key).cloned() else { return };
    if !write_some(worker, key, &writer) {
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            // An error shows in the reading task, which owns the connection's end.
            while writer.writable().await.is_ok() {
                // A new connection has its own writer: these bytes are not for the old socket.
                let current = worker.writers.borrow().get(&key).cloned();
                if !current.is_some_and(|current| Rc::ptr_eq(&current, &writer))
                    || write_some(&worker, key, &writer)
                {
                    return;
                }
            }
        });
    }
}

/// Writes until all is out (`true`) or the socket is full (`false`).
fn write_some(worker: &Worker, key: ConnectionKey, writer: &OwnedWriteHalf) -> bool {
    let mut pool = worker.pool.borrow_mut();
    let Some(connection) = pool.connection(key) else { return true };
    let written = connection.out().write_with(|bytes| writer.try_write(bytes));
    // The reading task sees the same error and ends the connection.
    written.map_or(true, |(done, _)| done)
}
