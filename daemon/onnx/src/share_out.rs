//! Work in pieces, shared out among threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Does every task, each thread taking the next one, and gives what came of them in their order. After a failure no other
/// task is begun.
///
/// # Errors
/// The first failure; `lost` when a thread ended without one.
pub(crate) fn share_out<T: Sync, R: Send, E: Send>(
    tasks: &[T],
    threads: usize,
    lost: E,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, failure) = (AtomicUsize::new(0), Mutex::new(None));
    let failed = || -> MutexGuard<'_, Option<E>> { failure.lock().unwrap_or_else(PoisonError::into_inner) };
    let run = || {
        let mut done = Vec::new();
        while failed().is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(number) else { break };
            match work(task) {
                Ok(result) => done.push((number, result)),
                Err(error) => {
                    failed().get_or_insert(error);
                }
            }
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(tasks.len())).map(|_| scope.spawn(run)).collect();
        let own = run();
        let others = others.into_iter().flat_map(|other| other.join().unwrap_or_default());
        own.into_iter().chain(others).collect::<Vec<_>>()
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if done.len() < tasks.len() {
        return Err(lost);
    }
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let tasks: Vec<usize> = (0..1000).collect();
        for threads in [0, 1, 3, 2000] {
            assert_eq!(share_out(&tasks, threads, "lost", |task| Ok(*task)).unwrap(), tasks);
        }
        assert_eq!(share_out(&[] as &[usize], 4, "lost", |task| Ok(*task)).unwrap(), [0; 0]);
    }

    #[test]
    fn after_a_failure_nothing_is_begun() {
        let begun = AtomicUsize::new(0);
        let work = |task: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *task == 2 { Err("it failed") } else { Ok(()) }
        };
        let tasks: Vec<usize> = (0..1000).collect();
        assert_eq!(share_out(&tasks, 1, "lost", work), Err("it failed"));
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }
}
