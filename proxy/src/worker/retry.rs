//! Repeating requests of stalled lanes.

use std::rc::Rc;
use std::time::Duration;

use crate::worker::Worker;

/// How often stalled lanes are looked at. Finer than the shortest pause between two attempts.
const TICK: Duration = Duration::from_millis(5);

/// Runs for the life of the worker; sleeps as long as every lane flows.
pub(crate) async fn retry_task(worker: Rc<Worker>) {
    loop {
        worker.retry.notified().await;
        while worker.pool.borrow().is_stalled() {
            tokio::time::sleep(TICK).await;
            worker.begin_turn();
            worker.pool.borrow_mut().retry(worker.now_ms());
            worker.settle();
        }
    }
}
