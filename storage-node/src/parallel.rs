//! The same work on many things at once, on threads that wait for the disk most of the time.
//!
//! Opening, making and closing a group's file takes a few fsyncs each. One after the other they are
//! what a start takes; side by side the file system and the disk answer many of them together.

use std::sync::{Mutex, PoisonError};

/// Threads, the caller's included. They wait, so they may be more than there are processors.
const THREADS: usize = 32;

/// Does `work` with each of `items` and returns the results in the order of the items.
///
/// # Errors
/// That of the first item, in their order, that failed; which one does not depend on the threads'
/// luck, since items are taken in order and what was taken is finished. Results of others come with
/// it, for the caller to put away.
pub(crate) fn try_map<T: Send, R: Send, E: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, (E, Vec<R>)> {
    let threads = THREADS.min(items.len());
    let queue = Mutex::new(items.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let run = || {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else { return };
            let result = work(item);
            if result.is_err() {
                // What was not begun is not needed any more.
                queue.lock().unwrap_or_else(PoisonError::into_inner).by_ref().for_each(drop);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let builder = std::thread::Builder::new().name("files".into());
            // With fewer threads it takes longer: no reason to give up.
            if builder.spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(place, _)| *place);
    let (mut results, mut first) = (Vec::with_capacity(done.len()), None);
    for (_, result) in done {
        match result {
            Ok(result) => results.push(result),
            Err(error) => first = first.or(Some(error)),
        }
    }
    match first {
        None => Ok(results),
        Some(error) => Err((error, results)),
    }
}

/// Drops all of `items`: files are closed side by side.
pub(crate) fn drop_all<T: Send>(items: impl IntoIterator<Item = T>) {
    let dropped = try_map(items.into_iter().collect(), |item| {
        drop(item);
        Ok::<_, std::convert::Infallible>(())
    });
    drop(dropped);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let doubled = try_map((0..1_000).collect(), |number: u32| Ok::<_, ()>(number * 2));
        assert_eq!(doubled.unwrap(), (0..2_000).step_by(2).collect::<Vec<_>>());
        assert!(try_map(Vec::<u32>::new(), Ok::<_, ()>).unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_in_order_is_told_whoever_was_faster() {
        for _ in 0..50 {
            let begun = AtomicUsize::new(0);
            let outcome = try_map((0..1_000).collect(), |number: usize| {
                begun.fetch_add(1, Ordering::Relaxed);
                if number == 7 {
                    // The others are given time to fail first.
                    std::thread::yield_now();
                }
                if number % 10 == 7 { Err(number) } else { Ok(number) }
            });
            let (error, others) = outcome.unwrap_err();
            assert_eq!(error, 7);
            assert!((0..7).all(|number| others.contains(&number)), "what was begun is finished");
            assert!(begun.load(Ordering::Relaxed) <= 1_000);
        }
    }

    #[test]
    fn all_are_dropped() {
        let alive = std::sync::Arc::new(());
        drop_all((0..100).map(|_| std::sync::Arc::clone(&alive)).collect::<Vec<_>>());
        assert_eq!(std::sync::Arc::strong_count(&alive), 1);
    }
}
