use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Operation {
    /// Sets a timer that many milliseconds ahead (or, if negative, overdue).
    Schedule(i64),
    ScheduleNever,
    /// Cancels the timer whose number is this, modulo the number of timers ever set.
    Cancel(usize),
    Advance(u64),
    /// Sleeps exactly as long as the wheel says.
    AdvanceToDeadline,
}

/// Spans of every order of magnitude, so that all levels are used.
fn span_ms() -> impl Strategy<Value = u64> {
    (0..44u32).prop_flat_map(|bits| 0..=1u64 << bits)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => span_ms().prop_map(|ms| Operation::Schedule(ms as i64)),
        1 => (0..100i64).prop_map(|ms| Operation::Schedule(-ms)),
        1 => Just(Operation::ScheduleNever),
        3 => any::<usize>().prop_map(Operation::Cancel),
        2 => span_ms().prop_map(Operation::Advance),
        4 => Just(Operation::AdvanceToDeadline),
    ]
}

fn tick_at(at: Timestamp) -> u64 {
    at.as_ms().div_ceil(TICK_MS)
}

/// Fires what is due in wheel and model, and compares.
fn check_expire(
    wheel: &mut TimingWheel<usize>,
    model: &mut BTreeMap<usize, u64>,
    now: Timestamp,
) -> Result<(), TestCaseError> {
    let mut fired = Vec::new();
    wheel.expire(now, &mut fired);
    let ticks: Vec<u64> = fired.iter().map(|key| model.get(key).copied().unwrap_or(u64::MAX)).collect();
    let overdue = ticks.iter().take_while(|tick| **tick <= now.as_ms() / TICK_MS).count();
    prop_assert_eq!(overdue, fired.len(), "fires early or unknown timers");
    fired.sort_unstable();
    let due: Vec<usize> =
        model.iter().filter(|(_, tick)| **tick <= now.as_ms() / TICK_MS).map(|(key, _)| *key).collect();
    prop_assert_eq!(&fired, &due);
    for key in due {
        model.remove(&key);
    }
    let next = wheel.next_deadline();
    prop_assert!(next.is_none_or(|next| next > now), "the reactor would not sleep: {:?} at {:?}", next, now);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn wheel_agrees_with_a_map_of_ticks(
        start in prop_oneof![0..1000u64, Just((1 << 39) - 20), Just((1 << 18) - 3), span_ms()],
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let mut now = Timestamp::from_ms(start);
        let mut wheel = TimingWheel::new(now);
        let mut model = BTreeMap::new();
        let mut ids = Vec::new();
        for operation in operations {
            match operation {
                Operation::Schedule(span) => {
                    let at = Timestamp::from_ms(now.as_ms().saturating_add_signed(span));
                    model.insert(ids.len(), tick_at(at));
                    ids.push(wheel.schedule(at, ids.len()));
                }
                Operation::ScheduleNever => {
                    model.insert(ids.len(), tick_at(Timestamp::NEVER));
                    ids.push(wheel.schedule(Timestamp::NEVER, ids.len()));
                }
                Operation::Cancel(_) if ids.is_empty() => {}
                Operation::Cancel(number) => {
                    let key = number % ids.len();
                    prop_assert_eq!(wheel.cancel(ids[key]), model.remove(&key).map(|_| key));
                }
                Operation::Advance(span) => {
                    now = now.after_ms(span);
                    check_expire(&mut wheel, &mut model, now)?;
                }
                Operation::AdvanceToDeadline => {
                    now = wheel.next_deadline().filter(|next| !next.is_never()).unwrap_or(now).max(now);
                    check_expire(&mut wheel, &mut model, now)?;
                }
            }
            prop_assert_eq!(wheel.len(), model.len());
            let first = model.values().min().map(|tick| tick.saturating_mul(TICK_MS).max(now.as_ms()));
            let next = wheel.next_deadline().map(|next| next.as_ms());
            prop_assert_eq!(next.is_some(), first.is_some());
            prop_assert!(next <= first, "{:?} is later than {:?}", next, first);
        }
    }
}

#[test]
fn a_timer_fires_within_a_tick_after_its_deadline_and_never_before() {
    for at in 100..200 {
        let mut wheel = TimingWheel::new(Timestamp::from_ms(3));
        wheel.schedule(Timestamp::from_ms(at), ());
        let mut fired = Vec::new();
        let mut now = 3;
        while fired.is_empty() {
            now += 1;
            wheel.expire(Timestamp::from_ms(now), &mut fired);
        }
        assert!((at..at + TICK_MS).contains(&now), "{at} fired at {now}");
    }
}

#[test]
fn timers_fire_in_the_order_of_their_ticks() {
    let mut wheel = TimingWheel::new(Timestamp::ZERO);
    for number in 0..5000u64 {
        let at = number.wrapping_mul(2_654_435_761) % 1_000_000;
        wheel.schedule(Timestamp::from_ms(at), at);
    }
    let mut fired = Vec::new();
    wheel.expire(Timestamp::from_ms(2_000_000), &mut fired);
    assert_eq!(fired.len(), 5000);
    assert!(fired.is_sorted_by_key(|at| at.div_ceil(TICK_MS)));
}

#[test]
fn a_lone_timer_wakes_the_sleeper_at_most_once_a_level() {
    let mut wheel = TimingWheel::new(Timestamp::from_ms(12_345));
    let at = Timestamp::from_ms(12_345).after_s(2 * 3600);
    wheel.schedule(at, 7);
    let mut fired = Vec::new();
    let mut wakes = 0;
    while let Some(next) = wheel.next_deadline() {
        wheel.expire(next, &mut fired);
        wakes += 1;
    }
    assert_eq!(fired, [7]);
    assert!(wakes <= 4, "{wakes} wakes for two hours, which take four levels");
}

#[test]
fn ids_of_fired_and_cancelled_timers_name_nothing() {
    let mut wheel = TimingWheel::new(Timestamp::ZERO);
    let first = wheel.schedule(Timestamp::from_ms(10), 1);
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.schedule(Timestamp::from_ms(10), 2);
    assert_eq!(wheel.cancel(first), None, "the entry is used again, the id is not");
    let mut fired = Vec::new();
    wheel.expire(Timestamp::from_ms(1000), &mut fired);
    assert_eq!(fired, [2]);
    assert_eq!(wheel.cancel(second), None);
}

#[test]
fn an_idle_age_passes_at_once() {
    let mut wheel = TimingWheel::new(Timestamp::ZERO);
    wheel.schedule(Timestamp::NEVER, 0);
    wheel.schedule(Timestamp::from_ms(u64::MAX - 100), 1);
    let mut fired = Vec::new();
    wheel.expire(Timestamp::from_ms(u64::MAX / 2), &mut fired);
    assert!(fired.is_empty());
    wheel.expire(Timestamp::from_ms(u64::MAX - 1), &mut fired);
    assert_eq!(fired, [1]);
}

#[test]
fn a_timer_costs_at_most_48_bytes_and_an_empty_wheel_keeps_none() {
    assert!(size_of::<Timer<u64>>() <= 48);
    let mut wheel = TimingWheel::new(Timestamp::ZERO);
    let ids: Vec<_> =
        (0..10_000).map(|number| wheel.schedule(Timestamp::from_ms(number * 50), number)).collect();
    for id in &ids {
        wheel.cancel(*id);
    }
    assert!(wheel.is_empty());
    assert_eq!(wheel.timers.capacity(), 0);
    wheel.schedule(Timestamp::from_ms(1), 1);
    assert!(ids.iter().all(|id| wheel.cancel(*id).is_none()));
}
