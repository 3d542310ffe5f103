//! Budgets that follow what the system has to spare.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::WeakEngine;
use crate::{Engine, Error, Plan, machine};

/// How often someone is asked for a new budget.
const ASKED: Duration = Duration::from_millis(200);
/// How often the system is looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Share of a period in which tasks stand still for lack of memory, from which on that is pressure.
const STALLED: f64 = 0.1;
/// The same for calm.
const CALM: f64 = 0.01;
/// Periods of calm before a budget grows back by a step.
const CALM_PERIODS: u32 = 10;
/// The system is short of memory where it has less to spare than this share of the budget.
const SHORT: u64 = 8;
/// A step down or up is this share of the budget.
const STEP: u64 = 4;

/// What became of a budget.
#[derive(Debug)]
pub enum MemoryChange {
    /// Somebody asked for another one.
    Asked(Result<Arc<Plan>, Error>),
    /// The system is short of memory, so the budget shrank.
    Shrank(Arc<Plan>),
    /// It has memory to spare again, so the budget grew.
    Grew(Arc<Plan>),
}

impl Engine {
    /// Keeps the budget in step with the system, from a thread of its own that ends with the engine: it shrinks while tasks
    /// stand still for lack of memory (Linux counts that as PSI) and there is little to spare, and grows back to what it was
    /// once that is over. `asked` is looked at several times a second: a size that it yields becomes the budget. `told`
    /// hears what became of each change.
    pub fn watch_memory(
        &self,
        asked: impl FnMut() -> Option<u64> + Send + 'static,
        told: impl FnMut(MemoryChange) + Send + 'static,
    ) {
        let pressure = self.memory().map(Pressure::new);
        let watch =
            Watch { engine: self.downgrade(), pressure, asked, told, looked: Instant::now(), stalled: None };
        thread::spawn(move || watch.run());
    }
}

struct Watch<A, T> {
    engine: WeakEngine,
    /// None where the system does not say what it has to spare.
    pressure: Option<Pressure>,
    asked: A,
    told: T,
    /// When the system was looked at, and how long its tasks had stood still by then.
    looked: Instant,
    stalled: Option<Duration>,
}

impl<A: FnMut() -> Option<u64>, T: FnMut(MemoryChange)> Watch<A, T> {
    fn run(mut self) {
        self.stalled = machine::stalled_for_memory();
        loop {
            thread::sleep(ASKED);
            let Some(engine) = self.engine.upgrade() else { return };
            if let Some(budget) = (self.asked)() {
                let change = engine.set_memory(budget);
                if change.is_ok() {
                    self.pressure = Some(Pressure::new(budget));
                }
                (self.told)(MemoryChange::Asked(change));
            }
            if self.looked.elapsed() >= PERIOD {
                self.look(&engine);
            }
        }
    }

    /// Looks at the system, and does what follows.
    fn look(&mut self, engine: &Engine) {
        let (Some(stalled), Some(pressure)) = (machine::stalled_for_memory(), &mut self.pressure) else {
            return;
        };
        let (Some(held), Some(spare)) = (machine::held_memory(), machine::spare_memory()) else { return };
        let time = self.looked.elapsed();
        let before = self.stalled.replace(stalled).unwrap_or(stalled);
        self.looked = Instant::now();
        let share = stalled.saturating_sub(before).as_secs_f64() / time.as_secs_f64();
        let Some(step) = pressure.step(Reading { stalled: share, held, spare }) else { return };
        let budget = match step {
            Step::Down(budget) | Step::Up(budget) => budget,
        };
        let plan = match engine.set_memory(budget) {
            Err(Error::Memory { refusal, .. }) if refusal.least < pressure.budget => {
                engine.set_memory(refusal.least)
            }
            result => result,
        };
        // Where nothing smaller works, all stays as it is.
        let Ok(plan) = plan else { return };
        pressure.budget = plan.budget;
        (self.told)(match step {
            Step::Down(_) => MemoryChange::Shrank(plan),
            Step::Up(_) => MemoryChange::Grew(plan),
        });
    }
}

/// What is seen of the system in a period.
struct Reading {
    /// Share of the period in which tasks stood still for lack of memory.
    stalled: f64,
    /// Bytes that this process holds.
    held: u64,
    /// Bytes that nobody needs.
    spare: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Down(u64),
    Up(u64),
}

/// A budget under pressure.
struct Pressure {
    /// What was asked for: it never grows beyond.
    asked: u64,
    budget: u64,
    calm: u32,
}

impl Pressure {
    fn new(budget: u64) -> Self {
        Pressure { asked: budget, budget, calm: 0 }
    }

    /// The budget that should follow a period; none if the present one is right.
    fn step(&mut self, reading: Reading) -> Option<Step> {
        let Reading { stalled, held, spare } = reading;
        if stalled >= STALLED {
            self.calm = 0;
            let is_short = spare < self.budget / SHORT;
            return is_short.then(|| Step::Down((self.budget - self.budget / STEP).min(held - held / STEP)));
        }
        self.calm = if stalled < CALM { self.calm + 1 } else { 0 };
        if self.calm < CALM_PERIODS || self.budget >= self.asked {
            return None;
        }
        self.calm = 0;
        // Half of what is to spare stays so.
        let most = self.asked.min(held.saturating_add(spare / 2));
        let up = self.budget.saturating_add(self.budget / STEP).min(most);
        (up > self.budget).then_some(Step::Up(up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn reading(stalled: f64, held: u64, spare: u64) -> Reading {
        Reading { stalled, held, spare }
    }

    #[test]
    fn a_system_that_stands_still_shrinks_the_budget_until_it_does_not() {
        let mut pressure = Pressure::new(4 * GIB);
        assert_eq!(pressure.step(reading(0.05, 4 * GIB, 0)), None);
        assert_eq!(pressure.step(reading(0.3, 4 * GIB, 0)), Some(Step::Down(3 * GIB)));
        pressure.budget = 3 * GIB;
        assert_eq!(pressure.step(reading(0.3, 2 * GIB, 0)), Some(Step::Down(3 * GIB / 2)), "of what is held");
    }

    #[test]
    fn others_who_are_short_of_memory_of_their_own_do_not_matter() {
        let mut pressure = Pressure::new(4 * GIB);
        assert_eq!(pressure.step(reading(0.9, 4 * GIB, 8 * GIB)), None);
    }

    #[test]
    fn calm_lets_it_grow_back_in_steps_and_not_beyond_what_was_asked_for() {
        let mut pressure = Pressure::new(4 * GIB);
        pressure.budget = 2 * GIB;
        let mut grown = Vec::new();
        for _ in 0..100 {
            if let Some(Step::Up(budget)) = pressure.step(reading(0.0, pressure.budget, 16 * GIB)) {
                pressure.budget = budget;
                grown.push(budget);
            }
        }
        assert_eq!(grown.first(), Some(&(5 * GIB / 2)));
        assert_eq!((grown.len(), grown.last()), (4, Some(&(4 * GIB))));
    }

    #[test]
    fn it_does_not_grow_into_what_is_not_to_spare_and_not_between_stalls() {
        let mut pressure = Pressure::new(4 * GIB);
        pressure.budget = 2 * GIB;
        for period in 0..100 {
            let stalled = if period % 5 == 0 { 0.05 } else { 0.0 };
            assert_eq!(pressure.step(reading(stalled, 2 * GIB, 16 * GIB)), None);
        }
        for _ in 0..100 {
            assert_eq!(pressure.step(reading(0.0, 2 * GIB, 0)), None);
        }
    }
}
