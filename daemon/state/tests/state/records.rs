//! What the store remembers of each record, over restarts.

use crate::samples::*;
use hob_events::{Delivery, Message, Record, Trust, TurnId, UnixMs};
use hob_state::{Bound, CommitError, KvChange, KvQuota, KvUsage, StateLimits, StateWriter, Store};
use std::sync::mpsc;

#[test]
fn an_unfinished_command_comes_back_with_every_step_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let steps = vec![
        accepted("b"),
        accepted("a"),
        began("b", 7),
        calling("b", call(7, 0)),
        sending("b", call(7, 0)),
        sent(call(7, 0), Delivery::Confirmed),
        sending("b", call(7, 0)),
        receipt("b", call(7, 0)),
        calling("b", call(7, 1)),
        sending("b", call(7, 1)),
    ];
    write(folder.path(), steps);
    let store = open(folder.path());
    let left = store.unfinished().unwrap();
    assert_eq!(left.iter().map(|left| left.command.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!((left[0].turn, left[1].turn), (Some(TurnId(7)), None));
    assert_eq!(store.next_turn().unwrap(), TurnId(8));
    let calls = &left[0].calls;
    assert_eq!(calls[0].actions, [action(Delivery::Confirmed), action(Delivery::Unknown)]);
    assert_eq!(calls[1].actions, [action(Delivery::Unknown)]);
    assert!(calls[0].receipt.is_some() && calls[1].receipt.is_none() && !calls[1].idempotent);
}

#[test]
fn a_final_result_closes_the_inbox_and_stays_the_same_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let steps = [accepted("a"), began("a", 1), receipt("a", call(1, 0)), finished("a")];
    write(folder.path(), steps.to_vec());
    let store = open(folder.path());
    assert!(store.unfinished().unwrap().is_empty() && store.unfinished_command(&id("a")).unwrap().is_none());
    let kept = store.final_of(&id("a")).unwrap().unwrap();
    assert_eq!(kept.payload, serde_json::to_vec(&result("a")).unwrap());
    assert_eq!(kept.turns, [TurnId(1)]);
    assert_eq!(store.receipts_of(TurnId(1)).unwrap().len(), 1);
}

#[test]
fn a_result_is_untold_until_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), vec![accepted("a"), accepted("b"), finished("b"), finished("a")]);
    let untold = |folder| {
        let untold = open(folder).untold().unwrap();
        untold.into_iter().map(|kept| kept.result.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(untold(folder.path()), ["b", "a"]);
    write(folder.path(), vec![told("b"), told("never-heard-of")]);
    assert_eq!(untold(folder.path()), ["a"]);
}

#[test]
fn a_known_command_is_refused_and_its_commit_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writer = StateWriter::start(&store).unwrap();
    commit(&writer, vec![accepted("a")]).unwrap();
    let refused = commit(&writer, vec![audit("in vain"), accepted("a")]);
    assert_eq!(refused, Err(CommitError::AlreadyKnown { command: id("a") }));
    commit(&writer, vec![finished("a")]).unwrap();
    assert!(commit(&writer, vec![accepted("a")]).is_err() && commit(&writer, vec![finished("a")]).is_err());
    assert!(store.audit_tail(9).unwrap().is_empty());
}

#[test]
fn correlation_data_counts_only_together_with_the_response_topic() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writer = StateWriter::start(&store).unwrap();
    commit(&writer, vec![Record::Accepted { command: command("a", mqtt("phone/answers", b"1")) }]).unwrap();
    commit(&writer, vec![Record::Accepted { command: command("b", mqtt("panel/answers", b"1")) }]).unwrap();
    assert_eq!(store.correlated(Some("phone/answers"), b"1").unwrap(), Some(id("a")));
    assert_eq!(store.correlated(Some("panel/answers"), b"1").unwrap(), Some(id("b")));
    assert_eq!(store.correlated(None, b"1").unwrap(), None);
}

#[test]
fn the_oldest_of_each_kind_goes_first() {
    let folder = tempfile::tempdir().unwrap();
    let two = Bound { count: 2, age_ms: None };
    let limits = StateLimits { finals: two, conversations: two, audit: two, ..limits() };
    let store = Store::open(folder.path(), limits).unwrap().store;
    let writer = StateWriter::start(&store).unwrap();
    for name in ["a", "b", "c"] {
        let source = mqtt("phone/answers", name.as_bytes());
        let records = vec![
            Record::Accepted { command: command(name, source.clone()) },
            Record::Final { result: result(name), source },
            talk(name),
            audit(name),
        ];
        commit(&writer, records).unwrap();
    }
    commit(&writer, vec![talk("b")]).unwrap();
    commit(&writer, vec![talk("d")]).unwrap();
    assert!(store.final_of(&id("a")).unwrap().is_none() && store.final_of(&id("b")).unwrap().is_some());
    assert!(store.correlated(Some("phone/answers"), b"a").unwrap().is_none());
    assert_eq!(store.untold().unwrap().len(), 2);
    let talks: Vec<_> = store.conversations().unwrap().into_iter().map(|talk| talk.id.to_string()).collect();
    assert_eq!(talks, ["b", "d"]);
    assert_eq!(store.conversations().unwrap()[0].lowest, Some(Trust::Untrusted));
    let lines: Vec<_> = store.audit_after(0, 9).unwrap().into_iter().map(|line| line.seq).collect();
    assert_eq!((lines, store.verify_audit()), (vec![2, 3], Ok(2)));
}

fn talk(name: &str) -> Record {
    let id = hob_events::ConversationId::new(name).unwrap();
    Record::Conversation {
        id,
        messages: vec![Message::words("and the hall?")],
        lowest: Trust::Untrusted,
        at: UnixMs(9),
    }
}

#[test]
fn a_plugin_keeps_within_its_quota_and_may_always_shrink() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writer = StateWriter::start(&store).unwrap();
    let put = |key: &str, bytes| KvChange::Put { key: key.into(), value: vec![b'x'; bytes] };
    let delete = |key: &str| KvChange::Delete { key: key.into() };
    let change = |changes, max_bytes| {
        let (done, answer) = mpsc::channel();
        let quota = KvQuota { max_bytes, max_keys: 3 };
        writer.try_commit_kv(plugin(), changes, quota, move |result| done.send(result).unwrap()).unwrap();
        answer.recv().unwrap()
    };
    change(vec![put("list/a", 10), put("list/b", 5000), put("other", 1), delete("never")], 6000).unwrap();
    let usage = KvUsage { bytes: 5028, keys: 3 };
    assert_eq!(store.kv_usage(&plugin()).unwrap(), usage);
    let refused = change(vec![put("list/c", 1)], 6000);
    assert!(matches!(refused, Err(CommitError::Quota { usage: KvUsage { keys: 4, .. }, .. })), "{refused:?}");
    let keys = |prefix, after| {
        let found = store.kv_scan(&plugin(), prefix, after, 9).unwrap();
        found.into_iter().map(|(key, value)| (key, value.len())).collect::<Vec<_>>()
    };
    assert_eq!(keys("list/", None), [("list/a".to_owned(), 10), ("list/b".to_owned(), 5000)]);
    assert_eq!(keys("list/", Some("list/a")), [("list/b".to_owned(), 5000)]);
    change(vec![delete("list/b")], 10).unwrap();
    assert_eq!(store.kv_usage(&plugin()).unwrap(), KvUsage { bytes: 22, keys: 2 });
    assert_eq!(store.kv_get(&plugin(), "list/b").unwrap(), None);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let limits = StateLimits { min_free_bytes: u64::MAX, ..limits() };
    let store = Store::open(folder.path(), limits).unwrap().store;
    let writer = StateWriter::start(&store).unwrap();
    let refused = commit(&writer, vec![accepted("a")]);
    assert!(matches!(refused, Err(CommitError::DiskFull { .. })), "{refused:?}");
    assert!(store.unfinished().unwrap().is_empty());
}

#[test]
fn stopping_finishes_what_was_taken_and_takes_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let writer = StateWriter::start(&store).unwrap();
    let (done, answers) = mpsc::channel();
    for number in 0..20 {
        let done = done.clone();
        writer.try_commit(vec![audit("line")], move |result| done.send((number, result)).unwrap()).unwrap();
    }
    writer.stop();
    let answers: Vec<_> = answers.try_iter().collect();
    assert_eq!(answers, (0..20).map(|number| (number, Ok(()))).collect::<Vec<_>>());
    assert_eq!(writer.try_commit(vec![], |_| {}), Err(hob_state::TryCommitError::Stopped));
    assert_eq!(store.verify_audit(), Ok(20));
}
