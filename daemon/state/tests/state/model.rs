//! The store against maps in memory, over random lists of commits, refusals and restarts.

use crate::samples::*;
use hob_events::Record;
use hob_state::{KvChange, KvQuota, StateWriter};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

#[derive(Debug, Clone)]
enum Act {
    Accept(u8),
    Begin(u8),
    Finish(u8),
    /// Accept and finish in one commit.
    Both(u8),
    Tell(u8),
    Audit,
    Put(u8, usize),
    Delete(u8),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..4_u8;
    prop_oneof![
        name.clone().prop_map(Act::Accept),
        name.clone().prop_map(Act::Begin),
        name.clone().prop_map(Act::Finish),
        name.clone().prop_map(Act::Both),
        name.clone().prop_map(Act::Tell),
        Just(Act::Audit),
        (name.clone(), 0..9000_usize).prop_map(|(key, bytes)| Act::Put(key, bytes)),
        name.prop_map(Act::Delete),
        Just(Act::Reopen),
    ]
}

#[derive(Debug, Default)]
struct Model {
    inbox: BTreeMap<String, Option<u64>>,
    finals: BTreeSet<String>,
    untold: Vec<String>,
    kv: BTreeMap<String, usize>,
    audit: u64,
    turns: u64,
}

const QUOTA: KvQuota = KvQuota { max_bytes: 20_000, max_keys: 3 };

impl Model {
    /// The records of an act, and whether they may be written.
    fn records(&mut self, act: &Act) -> Option<(Vec<Record>, bool)> {
        let name = |number: &u8| format!("c{number}");
        match act {
            Act::Accept(number) => {
                let name = name(number);
                let new = !self.inbox.contains_key(&name) && !self.finals.contains(&name);
                if new {
                    self.inbox.insert(name.clone(), None);
                }
                Some((vec![accepted(&name)], new))
            }
            Act::Begin(number) => {
                let name = name(number);
                let turn = self.turns;
                self.turns += 1;
                if let Some(last) = self.inbox.get_mut(&name) {
                    *last = Some(turn);
                }
                Some((vec![began(&name, turn), calling(&name, call(turn, 0))], true))
            }
            Act::Finish(number) => {
                let name = name(number);
                let new = self.finals.insert(name.clone());
                if new {
                    self.inbox.remove(&name);
                    self.untold.push(name.clone());
                }
                Some((vec![finished(&name)], new))
            }
            Act::Both(number) => {
                let name = name(number);
                let new = !self.inbox.contains_key(&name) && !self.finals.contains(&name);
                if new {
                    self.finals.insert(name.clone());
                    self.untold.push(name.clone());
                    self.audit += 1;
                }
                Some((vec![audit("both"), accepted(&name), finished(&name)], new))
            }
            Act::Tell(number) => {
                let name = name(number);
                self.untold.retain(|untold| *untold != name);
                Some((vec![told(&name)], true))
            }
            Act::Audit => {
                self.audit += 1;
                Some((vec![audit("so it is")], true))
            }
            Act::Put(..) | Act::Delete(_) | Act::Reopen => None,
        }
    }

    fn put(&mut self, key: u8, bytes: usize) -> bool {
        let size = |kv: &BTreeMap<String, usize>| kv.iter().map(|(key, bytes)| key.len() + bytes).sum::<usize>();
        let mut after = self.kv.clone();
        after.insert(format!("k{key}"), bytes);
        let over = size(&after) > 20_000 || after.len() > 3;
        let grew = size(&after) > size(&self.kv) || after.len() > self.kv.len();
        let allowed = !(over && grew);
        if allowed {
            self.kv = after;
        }
        allowed
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_holds_what_a_map_would(acts in prop::collection::vec(act(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let mut store = open(folder.path());
        let mut writer = StateWriter::start(&store).unwrap();
        for act in acts {
            let kv = |writer: &StateWriter, change| {
                let (done, answer) = mpsc::channel();
                writer.try_commit_kv(plugin(), vec![change], QUOTA, move |result| done.send(result).unwrap()).unwrap();
                answer.recv().unwrap()
            };
            if let Some((records, allowed)) = model.records(&act) {
                prop_assert_eq!(commit(&writer, records).is_ok(), allowed);
            }
            match act {
                Act::Put(key, bytes) => {
                    let allowed = model.put(key, bytes);
                    let change = KvChange::Put { key: format!("k{key}"), value: vec![7; bytes] };
                    prop_assert_eq!(kv(&writer, change).is_ok(), allowed);
                }
                Act::Delete(key) => {
                    model.kv.remove(&format!("k{key}"));
                    let done = kv(&writer, KvChange::Delete { key: format!("k{key}") });
                    prop_assert!(done.is_ok());
                }
                Act::Reopen => {
                    writer.stop();
                    drop(store);
                    store = open(folder.path());
                    writer = StateWriter::start(&store).unwrap();
                }
                Act::Accept(_) | Act::Begin(_) | Act::Finish(_) | Act::Both(_) | Act::Tell(_) | Act::Audit => {}
            }
        }
        let inbox: BTreeMap<_, _> = store.unfinished().unwrap().into_iter()
            .map(|left| (left.command.id.to_string(), left.turn.map(|turn| turn.0))).collect();
        prop_assert_eq!(inbox, model.inbox);
        for name in &model.finals {
            prop_assert!(store.final_of(&id(name)).unwrap().is_some());
        }
        let untold: Vec<_> = store.untold().unwrap().into_iter().map(|kept| kept.result.id.to_string()).collect();
        prop_assert_eq!(untold, model.untold);
        let kv: BTreeMap<_, _> = store.kv_scan(&plugin(), "", None, 99).unwrap().into_iter()
            .map(|(key, value)| (key, value.len())).collect();
        let usage = store.kv_usage(&plugin()).unwrap();
        let bytes: usize = kv.iter().map(|(key, bytes)| key.len() + bytes).sum();
        prop_assert_eq!((usage.bytes, usage.keys), (bytes as u64, kv.len() as u64));
        prop_assert_eq!(kv, model.kv);
        prop_assert_eq!(store.verify_audit(), Ok(model.audit));
        prop_assert_eq!(store.next_turn().unwrap().0, model.turns);
    }
}
