mod swap;

use super::*;
use crate::front::Recalled;
use crate::language_model::{Glimpse, LanguageModel, Progress, Warmed};
use crate::scripted::{Scripted, ScriptedModel};
use hob_events::{Allowed, ModelTimings, StopReason, Thinking, TokenizerId, Writing};
use std::collections::HashSet;
use std::sync::mpsc::{Receiver, Sender, channel};

pub(crate) fn order(turn: u64, priority: Priority) -> GenerateOrder {
    GenerateOrder {
        turn: TurnId(turn),
        prompt: Prompt { system: "".into(), offer: Arc::default(), messages: Vec::new(), thinking: Thinking::OFF },
        allowed: Allowed::CallsOrText,
        priority,
        conversation: None,
        max_tokens: 8,
        deadline_ms: 600_000,
    }
}

fn says(text: &str) -> Generated {
    Generated {
        writing: vec![Writing::Text { text: text.to_owned() }],
        tokens: vec![1],
        tokenizer: TokenizerId(1),
        stop: StopReason::EndOfTurn,
        timings: ModelTimings::default(),
    }
}

/// Opens a model that can be had once.
fn once(open: impl FnOnce() -> Result<Box<dyn LanguageModel>, String> + Send + 'static) -> Opener {
    let mut open = Some(open);
    Box::new(move || open.take().map_or(Err("it is gone".to_owned()), |open| open()))
}

/// A worker, and what it tells.
struct Bench {
    worker: ModelWorker,
    reports: Receiver<Report>,
}

impl Bench {
    fn new(model: impl LanguageModel + 'static, queue: usize) -> Self {
        Self::opening(once(move || Ok(Box::new(model))), queue)
    }

    fn opening(open: Opener, queue: usize) -> Self {
        Self::set_up(open, WorkerSettings { queue, unload_after: None })
    }

    fn set_up(open: Opener, settings: WorkerSettings) -> Self {
        let (tell, reports) = channel();
        let tell = Mutex::new(tell);
        let tell = move |report| drop(tell.lock().unwrap().send(report));
        Self { worker: ModelWorker::start(open, settings, tell).unwrap(), reports }
    }

    fn submit(&self, order: GenerateOrder) {
        self.worker.handle().submit(order).unwrap();
    }

    /// The next end, words before it left out.
    fn ended(&self) -> (u64, Result<Generated, GenerateFailure>) {
        loop {
            match self.reports.recv().unwrap() {
                Report::Ended { turn, result } => return (turn.0, result),
                Report::Reading { .. } | Report::Text { .. } | Report::Swapped { .. } => {}
                Report::Dead { reason } => panic!("dead: {reason}"),
            }
        }
    }
}

/// A script that says "done", but keeps every first turn waiting until the test lets it go.
fn gated() -> (ScriptedModel, Receiver<u64>, Sender<()>) {
    let (begun, begins) = channel();
    let (go, gate) = channel();
    let model = ScriptedModel::new(move |order| {
        begun.send(order.turn.0).unwrap();
        gate.recv().unwrap();
        Scripted::Says(Ok(says("done")))
    });
    (model, begins, go)
}

#[test]
fn words_are_told_before_the_end() {
    let bench = Bench::new(ScriptedModel::answers(vec![says("milk, bread.")]), 1);
    bench.submit(order(7, Priority::Person));
    let turn = TurnId(7);
    assert_eq!(bench.reports.recv().unwrap(), Report::Text { turn, delta: "milk, bread.".to_owned() });
    let (ended, result) = bench.ended();
    assert_eq!((ended, result.unwrap().writing), (7, says("milk, bread.").writing));
}

#[test]
fn orders_wait_while_the_model_is_opened() {
    let (go, gate) = channel::<()>();
    let open = move || -> Result<Box<dyn LanguageModel>, String> {
        gate.recv().unwrap();
        Ok(Box::new(ScriptedModel::answers(vec![says("done"), says("done")])))
    };
    let bench = Bench::opening(once(open), 2);
    bench.submit(order(1, Priority::Person));
    bench.submit(order(2, Priority::Person));
    assert_eq!(bench.worker.handle().waiting(), 2);
    bench.worker.handle().cancel(TurnId(2));
    assert_eq!(bench.ended(), (2, Err(GenerateFailure::Cancelled)));
    go.send(()).unwrap();
    assert_eq!(bench.ended().0, 1);
}

#[test]
fn without_a_model_whoever_waits_is_told_and_nothing_more_is_taken() {
    let (go, gate) = channel::<()>();
    let bench = Bench::opening(
        once(move || {
            gate.recv().unwrap();
            Err("no such file".to_owned())
        }),
        2,
    );
    bench.submit(order(1, Priority::Person));
    go.send(()).unwrap();
    let unopened = GenerateFailure::Model { message: "the model could not be opened: no such file".to_owned() };
    assert_eq!(bench.ended(), (1, Err(unopened)));
    assert!(bench.worker.handle().submit(order(2, Priority::Person)).is_err());
    let broken = Bench::opening(once(|| panic!("no more memory")), 2);
    assert_eq!(broken.reports.recv(), Ok(Report::Dead { reason: "no more memory".to_owned() }));
}

#[test]
fn a_person_is_served_before_a_camera_and_a_camera_before_a_sensor() {
    let (model, begins, go) = gated();
    let bench = Bench::new(model, 8);
    bench.submit(order(1, Priority::Person));
    assert_eq!(begins.recv(), Ok(1));
    for (turn, priority) in [(2, Priority::Sensor), (3, Priority::Camera), (4, Priority::Person)] {
        bench.submit(order(turn, priority));
    }
    (0..4).for_each(|_| go.send(()).unwrap());
    let served: Vec<u64> = (0..4).map(|_| bench.ended().0).collect();
    assert_eq!(served, [1, 4, 3, 2]);
}

#[test]
fn a_full_queue_says_so_at_once() {
    let (model, begins, go) = gated();
    let bench = Bench::new(model, 1);
    bench.submit(order(1, Priority::Person));
    begins.recv().unwrap();
    bench.submit(order(2, Priority::Person));
    let refused = bench.worker.handle().submit(order(3, Priority::Person));
    assert_eq!(refused, Err(GenerateFailure::Busy { waiting: 1 }));
    (0..2).for_each(|_| go.send(()).unwrap());
    assert_eq!((bench.ended().0, bench.ended().0), (1, 2));
}

#[test]
fn what_runs_and_what_waits_can_be_taken_back() {
    let bench = Bench::new(ScriptedModel::new(|_| Scripted::Hangs), 4);
    bench.submit(order(1, Priority::Person));
    bench.submit(order(2, Priority::Person));
    bench.worker.handle().cancel(TurnId(2));
    assert_eq!(bench.ended(), (2, Err(GenerateFailure::Cancelled)));
    bench.worker.handle().cancel(TurnId(1));
    assert_eq!(bench.ended(), (1, Err(GenerateFailure::Cancelled)));
    bench.worker.handle().cancel(TurnId(3));
    assert_eq!(bench.worker.handle().waiting(), 0);
}

#[test]
fn a_deadline_counts_the_wait_and_reaches_into_a_run() {
    let bench = Bench::new(ScriptedModel::new(|_| Scripted::Hangs), 4);
    bench.submit(GenerateOrder { deadline_ms: 40, ..order(1, Priority::Person) });
    bench.submit(GenerateOrder { deadline_ms: 5, ..order(2, Priority::Person) });
    assert_eq!(bench.ended(), (2, Err(GenerateFailure::Deadline { limit_ms: 5 })));
    assert_eq!(bench.ended(), (1, Err(GenerateFailure::Deadline { limit_ms: 40 })));
}

/// Begins each order and makes room as soon as that is asked for; goes on to the end the second time.
struct MakesRoom {
    begun: HashSet<TurnId>,
    begins: Sender<u64>,
    forgotten: Sender<u64>,
}

impl LanguageModel for MakesRoom {
    fn generate(
        &mut self,
        order: &GenerateOrder,
        _watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure> {
        if order.priority == Priority::Person || !self.begun.insert(order.turn) {
            return Ok(Progress::Ended(says("done")));
        }
        self.begins.send(order.turn.0).unwrap();
        while !interrupt.parking() {
            if let Some(why) = interrupt.ended() {
                return Err(why.told(order.deadline_ms));
            }
            std::thread::yield_now();
        }
        Ok(Progress::Parked)
    }

    fn warm(&mut self, _prompt: &Prompt, _interrupt: &Interrupt) -> Result<Warmed, GenerateFailure> {
        self.begins.send(0).unwrap();
        Ok(Warmed::Whole)
    }

    fn forget(&mut self, turn: TurnId) {
        self.forgotten.send(turn.0).unwrap();
    }
}

fn makes_room() -> (MakesRoom, Receiver<u64>, Receiver<u64>) {
    let ((begins, began), (forgotten, forgot)) = (channel(), channel());
    (MakesRoom { begun: HashSet::new(), begins, forgotten }, began, forgot)
}

#[test]
fn a_sensor_makes_room_for_a_person_and_goes_on_afterwards() {
    let (model, began, _forgot) = makes_room();
    let bench = Bench::new(model, 4);
    bench.submit(order(1, Priority::Sensor));
    began.recv().unwrap();
    bench.submit(order(2, Priority::Person));
    assert_eq!((bench.ended().0, bench.ended().0), (2, 1));
}

#[test]
fn what_is_taken_back_while_it_is_parked_is_forgotten() {
    let (model, began, forgot) = makes_room();
    let bench = Bench::new(model, 4);
    bench.submit(order(1, Priority::Sensor));
    began.recv().unwrap();
    // The camera's order makes the sensor's one park, and then runs itself.
    bench.submit(order(2, Priority::Camera));
    assert_eq!(began.recv(), Ok(2));
    bench.worker.handle().cancel(TurnId(1));
    assert_eq!(bench.ended(), (1, Err(GenerateFailure::Cancelled)));
    bench.worker.handle().cancel(TurnId(2));
    assert_eq!(bench.ended(), (2, Err(GenerateFailure::Cancelled)));
    assert_eq!(forgot.recv(), Ok(1));
}

#[test]
fn warming_up_waits_for_everyone() {
    let (model, began, _forgot) = makes_room();
    let bench = Bench::new(model, 4);
    bench.submit(order(1, Priority::Sensor));
    assert_eq!(began.recv(), Ok(1));
    bench.worker.handle().warm(order(0, Priority::Person).prompt);
    bench.submit(order(2, Priority::Person));
    assert_eq!((bench.ended().0, bench.ended().0), (2, 1));
    assert_eq!(began.recv(), Ok(0), "the beginning is run once nobody waits");
}

#[test]
fn a_break_of_the_model_is_told_and_the_next_order_is_served() {
    let mut panics = 1;
    let bench = Bench::new(
        ScriptedModel::new(move |_| {
            panics -= 1;
            if panics >= 0 { Scripted::Panics } else { Scripted::Says(Ok(says("back"))) }
        }),
        4,
    );
    bench.submit(order(1, Priority::Person));
    let message = "the model broke: the script says so".to_owned();
    assert_eq!(bench.ended(), (1, Err(GenerateFailure::Model { message })));
    bench.submit(order(2, Priority::Person));
    assert!(bench.ended().1.is_ok());
}

#[test]
fn a_model_that_keeps_breaking_is_given_up() {
    let bench = Bench::new(ScriptedModel::new(|_| Scripted::Panics), 4);
    for turn in 0..PANICS_IN_A_ROW {
        bench.submit(order(turn.into(), Priority::Person));
        assert!(bench.ended().1.is_err());
    }
    assert_eq!(bench.reports.recv(), Ok(Report::Dead { reason: "the script says so".to_owned() }));
    let refused = bench.worker.handle().submit(order(9, Priority::Person));
    assert!(matches!(refused, Err(GenerateFailure::Model { .. })));
}

#[test]
fn every_order_is_ended_when_the_worker_goes() {
    let bench = Bench::new(ScriptedModel::new(|_| Scripted::Hangs), 4);
    (1..4).for_each(|turn| bench.submit(order(turn, Priority::Person)));
    drop(bench.worker);
    let mut ended: Vec<Report> = bench.reports.iter().collect();
    ended.sort_by_key(|report| format!("{report:?}"));
    let cancelled = |turn| Report::Ended { turn: TurnId(turn), result: Err(GenerateFailure::Cancelled) };
    assert_eq!(ended, [cancelled(1), cancelled(2), cancelled(3)]);
}

/// Hangs whenever it runs, and knows the answer to the orders of even turns.
struct Knows;

impl LanguageModel for Knows {
    fn generate(
        &mut self,
        order: &GenerateOrder,
        _watch: &mut dyn FnMut(Glimpse<'_>),
        interrupt: &Interrupt,
    ) -> Result<Progress, GenerateFailure> {
        Err(interrupt.wait().told(order.deadline_ms))
    }

    fn warm(&mut self, _prompt: &Prompt, _interrupt: &Interrupt) -> Result<Warmed, GenerateFailure> {
        Ok(Warmed::Whole)
    }

    fn forget(&mut self, _turn: TurnId) {}

    fn recall(&self) -> Option<Recall> {
        Some(Box::new(|order| match order.turn.0 {
            666 => panic!("the memo breaks"),
            turn => turn.is_multiple_of(2).then(|| Recalled { generated: says("known"), words: "known".to_owned() }),
        }))
    }
}

#[test]
fn what_the_memo_knows_does_not_wait_for_a_busy_model() {
    let bench = Bench::new(Knows, 8);
    bench.submit(order(1, Priority::Person));
    // The sensor's order too, since it waits for nobody.
    for (turn, priority) in
        [(3, Priority::Person), (666, Priority::Person), (4, Priority::Sensor), (6, Priority::Person)]
    {
        bench.submit(order(turn, priority));
    }
    let mut answered = Vec::new();
    while answered.len() < 2 {
        let Report::Text { turn, delta } = bench.reports.recv().unwrap() else { panic!("words come before the end") };
        let (ended, result) = bench.ended();
        assert_eq!((turn.0, delta.as_str(), result.unwrap().writing), (ended, "known", says("known").writing));
        answered.push(ended);
    }
    answered.sort_unstable();
    assert_eq!(answered, [4, 6]);
    assert_eq!(bench.worker.handle().waiting(), 2, "the others wait on");
}
