//! Whoever on the control socket wants to hear how a command goes.

use hob_doors::Reply;
use hob_events::{CommandId, CommandResult, StatusUpdate};
use std::collections::BTreeMap;
use tokio::sync::mpsc;

/// The followers of every command that is worked on.
#[derive(Debug, Default)]
pub struct Followers {
    following: BTreeMap<CommandId, Vec<mpsc::Sender<Reply>>>,
}

impl Followers {
    /// From now on this one hears of the command.
    pub fn add(&mut self, command: CommandId, follower: mpsc::Sender<Reply>) {
        self.following.entry(command).or_default().push(follower);
    }

    /// Passes a status on.
    pub fn status(&mut self, update: &StatusUpdate) {
        self.tell(&update.id, || Reply::Status(update.clone()));
    }

    /// Passes words on as they are written.
    pub fn text(&mut self, command: &CommandId, delta: &str) {
        self.tell(command, || Reply::Text { id: command.clone(), delta: delta.to_owned() });
    }

    /// Says how much of a prompt is read. A follower that is busy misses it: there will be more.
    pub fn reading(&self, command: &CommandId, tokens: usize, of: usize) {
        for follower in self.following.get(command).into_iter().flatten() {
            follower.try_send(Reply::Reading { id: command.clone(), tokens, of }).ok();
        }
    }

    /// Passes the final result on, after which there is nothing more to hear. Says whether anyone heard it.
    pub fn last(&mut self, result: &CommandResult) -> bool {
        self.tell(&result.id, || Reply::Final { result: result.clone() });
        self.following.remove(&result.id).is_some_and(|followers| !followers.is_empty())
    }

    /// A follower that does not read is let go: it finds the result stored.
    fn tell(&mut self, command: &CommandId, reply: impl Fn() -> Reply) {
        if let Some(followers) = self.following.get_mut(command) {
            followers.retain(|follower| follower.try_send(reply()).is_ok());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_that_does_not_read_is_let_go() {
        let mut followers = Followers::default();
        let (follower, mut replies) = mpsc::channel(1);
        let id = CommandId::lossy("a");
        followers.add(id.clone(), follower);
        followers.text(&id, "one");
        followers.reading(&id, 128, 1_000);
        assert_eq!(followers.following[&id].len(), 1, "it only missed how far the reading is");
        followers.text(&id, "two");
        followers.text(&id, "three");
        assert!(matches!(replies.try_recv(), Ok(Reply::Text { delta, .. }) if delta == "one"));
        assert!(replies.try_recv().is_err());
        assert!(followers.following[&id].is_empty());
    }
}
