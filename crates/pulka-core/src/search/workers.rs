//! The same work on many items, on a few threads.

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::fragment::{FragmentError, Result};

/// The results in the order of `items`; the first error ends the work.
pub fn map<'a, I: Sync, T: Send>(threads: usize, items: &'a [I], work: impl Fn(&'a I) -> Result<T> + Sync) -> Result<Vec<T>> {
    let threads = threads.clamp(1, items.len().max(1));
    if threads == 1 {
        return items.iter().map(|item| sound(&work, item)).collect();
    }
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    let worker = || {
        while let Some((at, item)) = items.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
            let result = sound(&work, item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(worker)));
        worker();
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Readers of Parquet panic over bytes that no writer writes.
fn sound<'a, I, T>(work: &impl Fn(&'a I) -> Result<T>, item: &'a I) -> Result<T> {
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| work(item)));
    done.unwrap_or_else(|_| Err(FragmentError::Invalid("the bytes of a fragment are broken".to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order_and_the_first_error_wins() {
        let items: Vec<usize> = (0..100).collect();
        let doubled = map(4, &items, |item| Ok(item * 2)).unwrap();
        assert_eq!(doubled, (0..200).step_by(2).collect::<Vec<_>>());
        let failed = map(3, &items, |item| if *item == 7 { Err(FragmentError::Invalid("seven".into())) } else { Ok(()) });
        assert_eq!(failed.unwrap_err().to_string(), "seven");
    }
}
