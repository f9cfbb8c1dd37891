//! What a panic does to the process: it ends it, at once. A worker that lost a task in the middle of
//! a change must not go on answering; a supervisor starts a clean process, and the log replays.
//!
//! The exception are calls into libraries that panic on damaged input: [`guard`] turns their panic
//! into a value.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic outside of [`guard`] prints itself and aborts the process. For `main`s;
/// tests keep their unwinding.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        if !GUARDED.get() {
            std::process::abort();
        }
    }));
}

/// Runs `work` and returns what it returns, or the text of its panic. The caller gives up whatever
/// `work` may have left half done.
///
/// # Errors
/// It panicked.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.map_err(|panic| text(panic.as_ref()).to_owned())
}

fn text(panic: &(dyn Any + Send)) -> &str {
    (panic.downcast_ref::<String>().map(String::as_str))
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guarded_panic_becomes_its_text() {
        assert_eq!(guard(|| 7), Ok(7));
        assert_eq!(guard(|| panic!("page {}", 3)), Err::<(), _>("page 3".to_owned()));
        assert!(!GUARDED.get());
    }
}
