//! What a panic does to the process: it ends it, at once. A worker that lost a task in the middle of
//! a change must not go on answering; a supervisor starts a clean process, and the log replays.
//!
//! The exception are calls into libraries that panic on damaged input: [`guard`] turns their panic
//! into a value.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// Where the guarded panic began that is under way.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// From now on a panic outside of [`guard`] prints itself and aborts the process. One inside is left
/// to who called [`guard`]: it prints nothing. For `main`s; tests keep their unwinding.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // A second panic while the first unwinds ends the process, so it is printed.
        if GUARDED.get() && PLACE.take().is_none() {
            PLACE.set(info.location().map(place));
            return;
        }
        print(info);
        if !GUARDED.get() {
            std::process::abort();
        }
    }));
}

/// Runs `work` and returns what it returns, or the text of its panic, with its place in the source
/// after [`abort_on_panic`]. The caller gives up whatever `work` may have left half done.
///
/// # Errors
/// It panicked.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = (GUARDED.replace(true), PLACE.take());
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer.0);
    let place = PLACE.replace(outer.1);
    done.map_err(|panic| match place {
        Some(place) => format!("{} ({place})", text(panic.as_ref())),
        None => text(panic.as_ref()).to_owned(),
    })
}

/// File and line, without the folders of the machine that built the program.
fn place(location: &Location<'_>) -> String {
    let file = Path::new(location.file()).file_name().unwrap_or_default();
    format!("{}:{}", file.display(), location.line())
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
