//! Waits for several futures together, on the task that asks: nothing is spawned that could outlive its call.

use crate::io::IoFuture;
use std::future::poll_fn;
use std::task::Poll;

/// The outputs, in the order of the futures.
pub(crate) async fn join_all<T>(futures: Vec<IoFuture<'_, T>>) -> Vec<T> {
    let mut waiting: Vec<(IoFuture<'_, T>, Option<T>)> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|context| {
        let mut all_done = true;
        for (future, output) in waiting.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => all_done = false,
            }
        }
        if all_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    waiting.into_iter().filter_map(|(_, output)| output).collect()
}
