//! One model after another, and a model that is idle.

use super::*;
use crate::budget::Room;
use std::sync::atomic::{AtomicBool, Ordering};

/// What happened to models, in order.
type Diary = Arc<Mutex<Vec<String>>>;

fn note(diary: &Diary, line: String) {
    diary.lock().unwrap().push(line);
}

fn read(diary: &Diary) -> Vec<String> {
    diary.lock().unwrap().clone()
}

/// Signs what it writes, and notes when it is opened and dropped. Its memo knows the orders of even turns.
struct Signs {
    name: &'static str,
    diary: Diary,
}

impl Drop for Signs {
    fn drop(&mut self) {
        note(&self.diary, format!("{} dropped", self.name));
    }
}

impl LanguageModel for Signs {
    fn generate(
        &mut self,
        order: &GenerateOrder,
        _watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure> {
        note(&self.diary, format!("{} runs {}", self.name, order.turn.0));
        if order.priority == Priority::Sensor {
            return Err(interrupt.wait().told(order.deadline_ms));
        }
        Ok(Progress::Ended(says(self.name)))
    }

    fn warm(&mut self, _prompt: &Prompt, _interrupt: &Interrupt) -> Result<Warmed, GenerateFailure> {
        note(&self.diary, format!("{} warms up", self.name));
        Ok(Warmed::Whole)
    }

    fn forget(&mut self, _turn: TurnId) {}

    fn recall(&self) -> Option<Recall> {
        let name = self.name;
        Some(Box::new(move |order| {
            let known = order.turn.0.is_multiple_of(2) && order.turn.0 > 0;
            known.then(|| Recalled { generated: says(&format!("{name} knew")), words: String::new() })
        }))
    }
}

fn opens(name: &'static str, diary: &Diary) -> Opener {
    let diary = diary.clone();
    Box::new(move || {
        note(&diary, format!("{name} opened"));
        Ok(Box::new(Signs { name, diary: diary.clone() }))
    })
}

fn fails(diary: &Diary) -> Opener {
    let diary = diary.clone();
    Box::new(move || {
        note(&diary, "new fails".to_owned());
        Err("it is torn".to_owned())
    })
}

fn plan(room: Room, open: Opener) -> Planner {
    Box::new(move |_| Ok(Plan { about: Description { name: "new".to_owned(), ..Description::default() }, room, open }))
}

impl Bench {
    /// Begins a swap as soon as the first model is open.
    fn swap(&self, plan: Planner) {
        while self.worker.handle().standing() == Standing::Opening {
            std::thread::yield_now();
        }
        self.worker.handle().swap(plan).unwrap();
    }

    /// The end of the swap; other reports before it are left out.
    fn swapped(&self) -> Result<String, SwapFailure> {
        loop {
            if let Report::Swapped { result } = self.reports.recv().unwrap() {
                return result.map(|about| about.name);
            }
        }
    }

    /// Who wrote the answer to a new order.
    fn asks(&self, turn: u64) -> String {
        self.submit(order(turn, Priority::Person));
        match self.ended().1.unwrap().writing.pop().unwrap() {
            Writing::Text { text } => text,
            other @ (Writing::Call(_) | Writing::Malformed { .. }) => panic!("{other:?}"),
        }
    }

    /// Hands over an order that hangs, and waits until it runs.
    fn hangs(&self, turn: u64) {
        self.submit(order(turn, Priority::Sensor));
        while self.worker.handle().waiting() > 0 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn with_room_for_both_the_old_model_goes_when_the_new_one_is_open() {
    let diary = Diary::default();
    let bench = Bench::opening(opens("old", &diary), 4);
    assert_eq!(bench.asks(1), "old");
    bench.swap(plan(Room::Beside, opens("new", &diary)));
    assert_eq!(bench.swapped(), Ok("new".to_owned()));
    assert_eq!(bench.asks(3), "new");
    assert_eq!(read(&diary), ["old opened", "old runs 1", "new opened", "old dropped", "new runs 3"]);
}

#[test]
fn without_room_for_both_the_old_model_goes_first() {
    let diary = Diary::default();
    let bench = Bench::opening(opens("old", &diary), 4);
    bench.swap(plan(Room::InPlace, opens("new", &diary)));
    assert_eq!(bench.swapped(), Ok("new".to_owned()));
    assert_eq!(read(&diary), ["old opened", "old dropped", "new opened"]);
}

#[test]
fn a_new_model_that_cannot_be_opened_leaves_the_old_one_or_has_it_opened_again() {
    let diary = Diary::default();
    let bench = Bench::opening(opens("old", &diary), 4);
    bench.swap(plan(Room::Beside, fails(&diary)));
    assert_eq!(bench.swapped(), Err(SwapFailure::Kept { reason: "it is torn".to_owned() }));
    assert_eq!(bench.asks(1), "old");
    bench.swap(plan(Room::InPlace, fails(&diary)));
    assert_eq!(bench.swapped(), Err(SwapFailure::OpenedAgain { reason: "it is torn".to_owned() }));
    assert_eq!(bench.asks(3), "old");
    bench.swap(Box::new(|open| Err(format!("there is no such folder, and a model is open: {open}"))));
    let reason = "there is no such folder, and a model is open: true".to_owned();
    assert_eq!(bench.swapped(), Err(SwapFailure::Refused { reason }));
    let all = ["old opened", "new fails", "old runs 1", "old dropped", "new fails", "old opened", "old runs 3"];
    assert_eq!(read(&diary), all);
}

#[test]
fn a_break_of_the_new_model_as_it_is_opened_is_a_failure_like_any_other() {
    let diary = Diary::default();
    let bench = Bench::opening(opens("old", &diary), 4);
    bench.swap(plan(Room::Beside, once(|| panic!("no more memory"))));
    assert_eq!(bench.swapped(), Err(SwapFailure::Kept { reason: "no more memory".to_owned() }));
    assert_eq!(bench.asks(1), "old");
}

#[test]
fn when_neither_can_be_opened_the_worker_gives_up_and_says_so() {
    let diary = Diary::default();
    let bench = Bench::opening(once(|| Ok(Box::new(ScriptedModel::answers(Vec::new())))), 4);
    bench.swap(plan(Room::InPlace, fails(&diary)));
    let lost = SwapFailure::Lost { reason: "it is torn".to_owned(), old: "it is gone".to_owned() };
    assert_eq!(bench.swapped(), Err(lost.clone()));
    assert_eq!(bench.reports.recv(), Ok(Report::Dead { reason: lost.to_string() }));
    assert!(bench.worker.handle().submit(order(1, Priority::Person)).is_err());
}

#[test]
fn what_runs_is_ended_by_the_old_model_and_what_waits_is_kept_for_the_new_one() {
    let diary = Diary::default();
    let (go, gate) = channel::<()>();
    let old = ScriptedModel::new(move |_| {
        gate.recv().unwrap();
        Scripted::Says(Ok(says("old")))
    });
    let bench = Bench::new(old, 4);
    bench.hangs(1);
    bench.swap(plan(Room::Beside, opens("new", &diary)));
    assert_eq!(bench.worker.handle().swap(plan(Room::Beside, fails(&diary))), Err(SwapNotBegun::UnderWay));
    [3, 5].into_iter().for_each(|turn| bench.submit(order(turn, Priority::Person)));
    go.send(()).unwrap();
    let (first, written) = bench.ended();
    assert_eq!((first, written.unwrap().writing), (1, says("old").writing));
    assert_eq!(bench.swapped(), Ok("new".to_owned()));
    assert_eq!((bench.ended().0, bench.ended().0), (3, 5));
    assert_eq!(read(&diary), ["new opened", "new runs 3", "new runs 5"]);
}

#[test]
fn what_made_room_is_brought_to_its_end_before_the_model_changes() {
    let (model, began, _forgot) = makes_room();
    let diary = Diary::default();
    let bench = Bench::new(model, 4);
    bench.submit(order(1, Priority::Sensor));
    began.recv().unwrap();
    // The camera's order makes the sensor's park, and runs while the swap is asked for.
    bench.submit(order(2, Priority::Camera));
    assert_eq!(began.recv(), Ok(2));
    bench.swap(plan(Room::InPlace, opens("new", &diary)));
    bench.worker.handle().cancel(TurnId(2));
    assert_eq!(bench.ended(), (2, Err(GenerateFailure::Cancelled)));
    let (turn, result) = bench.ended();
    assert_eq!((turn, result.unwrap().writing), (1, says("done").writing));
    assert_eq!(bench.swapped(), Ok("new".to_owned()));
}

#[test]
fn the_memo_of_the_old_model_does_not_answer_for_the_new_one() {
    let diary = Diary::default();
    let bench = Bench::opening(opens("old", &diary), 8);
    let answers = |bench: &Bench| {
        // While this one runs the clerk asks the memo for the other.
        bench.hangs(1);
        bench.submit(order(2, Priority::Sensor));
        let (turn, known) = bench.ended();
        bench.worker.handle().cancel(TurnId(1));
        assert_eq!((turn, bench.ended().0), (2, 1));
        known.unwrap().writing
    };
    assert_eq!(answers(&bench), says("old knew").writing);
    bench.swap(plan(Room::Beside, opens("new", &diary)));
    assert_eq!(bench.swapped(), Ok("new".to_owned()));
    assert_eq!(answers(&bench), says("new knew").writing);
}

fn soon_unloaded(open: Opener) -> Bench {
    Bench::set_up(open, WorkerSettings { queue: 4, unload_after: Some(Duration::from_millis(1)) })
}

fn until_unloaded(bench: &Bench) {
    while bench.worker.handle().standing() != Standing::Unloaded {
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_model_is_dropped_and_opened_again_by_the_next_order_that_the_memo_does_not_know() {
    let diary = Diary::default();
    let bench = soon_unloaded(opens("old", &diary));
    until_unloaded(&bench);
    assert_eq!(bench.asks(2), "old knew");
    assert_eq!(read(&diary), ["old opened", "old dropped"], "the memo answers without it");
    bench.worker.handle().warm(order(0, Priority::Person).prompt);
    assert_eq!(read(&diary), ["old opened", "old dropped"], "nobody waits for a warm beginning");
    assert_eq!(bench.asks(1), "old");
    until_unloaded(&bench);
    assert_eq!(read(&diary).last().unwrap(), "old dropped");
}

#[test]
fn an_unloaded_model_that_cannot_be_opened_fails_the_order_and_is_tried_again() {
    let there = Arc::new(AtomicBool::new(true));
    let seen = there.clone();
    let bench = soon_unloaded(Box::new(move || match seen.load(Ordering::SeqCst) {
        true => Ok(Box::new(ScriptedModel::new(|_| Scripted::Says(Ok(says("back")))))),
        false => Err("no more memory".to_owned()),
    }));
    until_unloaded(&bench);
    there.store(false, Ordering::SeqCst);
    bench.submit(order(1, Priority::Person));
    let message = "the model was unloaded and cannot be opened again: no more memory".to_owned();
    assert_eq!(bench.ended(), (1, Err(GenerateFailure::Model { message })));
    there.store(true, Ordering::SeqCst);
    assert_eq!(bench.asks(3), "back");
}

#[test]
fn an_unloaded_model_is_swapped_without_being_opened() {
    let diary = Diary::default();
    let bench = soon_unloaded(opens("old", &diary));
    until_unloaded(&bench);
    bench.swap(plan(Room::InPlace, fails(&diary)));
    assert_eq!(bench.swapped(), Err(SwapFailure::Kept { reason: "it is torn".to_owned() }));
    assert_eq!(read(&diary), ["old opened", "old dropped", "new fails"]);
    assert_eq!(bench.asks(2), "old knew");
}
