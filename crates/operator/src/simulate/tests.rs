//! Our rule against the others, in figures that the same code gives on every machine.

use std::time::Duration;

use super::load::{self, Load};
use super::{Ours, Outcome, Row, Scenario, scenarios, svg, table};

fn compare() -> Vec<Row> {
    super::compare(&scenarios())
}

fn outcome<'a>(rows: &'a [Row], scenario: &str, startup_s: u64, rule: &str) -> &'a Outcome {
    let row = rows.iter().find(|row| {
        row.scenario == scenario && row.startup.as_secs() == startup_s && row.rule == rule
    });
    &row.unwrap().outcome
}

const OURS: &str = "wyoming-stt";
const OTHERS: [&str; 2] = ["HPA-like", "KPA-like"];
const ALL: [(&str, u64); 5] = [
    ("step", 20),
    ("step", 120),
    ("saw", 120),
    ("spike", 120),
    ("evening", 120),
];

#[test]
fn our_rule_orders_far_less_than_queue_depth_alone_and_makes_nobody_wait_longer() {
    let rows = compare();
    for (scenario, startup) in ALL {
        let ours = outcome(&rows, scenario, startup, OURS);
        for rule in OTHERS {
            let other = outcome(&rows, scenario, startup, rule);
            let about = format!("{scenario}, {startup} s, {rule}: {}", table(&rows));
            let factor = if startup == 120 { 3 } else { 1 };
            assert!(factor * ours.peak_ordered <= other.peak_ordered, "{about}");
            // A tenth and 5 s: one deterministic run each.
            let bound = other.worst_wait.mul_f64(1.1) + Duration::from_secs(5);
            assert!(ours.worst_wait <= bound, "{about}");
            assert!(
                u64::from(ours.answered) >= u64::from(other.answered) * 99 / 100,
                "{about}"
            );
        }
        let hpa = outcome(&rows, scenario, startup, "HPA-like");
        assert!(ours.gpu_time < hpa.gpu_time, "{scenario}: {}", table(&rows));
        assert!(
            ours.mean_backlog < hpa.mean_backlog * 1.05,
            "{scenario}: {}",
            table(&rows)
        );
    }
}

#[test]
fn our_rule_does_not_wait_for_one_start_after_the_other() {
    let rows = compare();
    for (scenario, startup) in ALL {
        let ours = outcome(&rows, scenario, startup, OURS);
        let other = outcome(&rows, scenario, startup, "one by one");
        assert!(
            ours.worst_wait < other.worst_wait,
            "{scenario}: {}",
            table(&rows)
        );
        assert!(
            ours.mean_backlog < other.mean_backlog,
            "{scenario}: {}",
            table(&rows)
        );
    }
}

#[test]
fn our_figures_stay_as_good_as_they_were() {
    let rows = compare();
    for ((scenario, startup), peak, worst_wait, backlog, hours, changes) in [
        (ALL[0], 7, 26, 1.4, 2.4, 7),
        (ALL[1], 9, 102, 15.9, 2.75, 10),
        (ALL[2], 8, 99, 11.0, 2.45, 9),
        (ALL[3], 10, 117, 8.5, 1.75, 14),
        (ALL[4], 7, 19, 1.0, 13.5, 26),
    ] {
        let ours = outcome(&rows, scenario, startup, OURS);
        let is_as_good = ours.peak_ordered <= peak
            && ours.worst_wait.as_secs() <= worst_wait
            && ours.mean_backlog <= backlog
            && ours.gpu_time.as_secs_f64() / 3600.0 <= hours
            && ours.changes <= changes;
        assert!(is_as_good, "{scenario}: {}", table(&rows));
    }
}

#[test]
fn a_load_arrives_at_its_rate() {
    let even = Load::new(
        vec![(0.0, 0.5), (100.0, 2.0)],
        Duration::from_secs(200),
        None,
    );
    assert_eq!(even.arrivals().len(), 250);
    let chance = Load::new(vec![(0.0, 2.0)], Duration::from_secs(5000), Some(3));
    let arrivals = chance.arrivals();
    // 10 000 expected, a standard deviation of 100.
    assert!(
        (9700..10_300).contains(&arrivals.len()),
        "{}",
        arrivals.len()
    );
    assert!(arrivals.is_sorted_by_key(|it| it.at));
    assert_eq!(arrivals, chance.arrivals());
}

#[test]
fn a_recorded_load_is_read_and_a_bad_line_is_named() {
    let load = Load::recorded("arrival,length\n2.5,1\n\n1,0.5\n").unwrap();
    let at: Vec<(f64, f64)> = load
        .arrivals()
        .iter()
        .map(|it| (it.at.as_secs_f64(), it.length.as_secs_f64()))
        .collect();
    assert_eq!(at, [(1.0, 0.5), (2.5, 1.0)]);
    assert_eq!(load.length(), Duration::from_millis(63_500));
    for (text, line) in [
        ("1,1\nx,1", "line 2"),
        ("1,-1", "line 1"),
        ("1", "line 1"),
        ("1,nan", "line 1"),
        ("1e300,1", "line 1"),
        ("arrival,length\n", "no line"),
    ] {
        let error = Load::recorded(text).unwrap_err().to_string();
        assert!(error.starts_with(line), "{text}: {error}");
    }
}

#[test]
fn troubles_cost_what_they_must_and_no_more() {
    let rows = super::run_cases();
    let table = super::case_table(&rows);
    let of = |name: &str| {
        let row = rows.iter().find(|(case, _)| case.scenario.name == name);
        &row.unwrap().1.outcome
    };
    let lost = |name: &str| of(name).lost_percent();
    // A broken pod costs a twentieth at most.
    let (broken, whole) = (of("broken pod"), of("evening, night"));
    assert!(broken.gpu_hours() < whole.gpu_hours() * 1.05, "{table}");
    // No news is taken for load.
    assert!(lost("all silent") <= 1.4, "{table}");
    assert!(lost("half silent") <= lost("none silent") + 0.5, "{table}");
    assert!(of("500 at once").peak_ordered <= 6, "{table}");
    assert!(lost("500 at once") <= 18.0, "{table}");
    // A quarter of the utterances met the sick one until it was found.
    assert!(lost("mute replica") <= 1.0, "{table}");
    assert!(lost("slow replica") <= 1.0, "{table}");
    assert!(of("batches").peak_ordered <= 4, "{table}");
    let ready = |name: &str| of(name).ready_at(20).unwrap().as_secs();
    assert!(
        ready("nodes, 60 s") <= 330 && ready("nodes, 180 s") <= 600,
        "{table}"
    );
    assert!(of("quota").peak_ordered <= 9, "{table}");
    assert!(of("07:00, spare").lost() <= 2, "{table}");
    assert!(of("07:00, schedule").lost() <= 2, "{table}");
    // Room for half an hour costs less than for the night.
    let (schedule, spare) = (of("07:00, schedule"), of("07:00, spare"));
    assert!(schedule.gpu_hours() < spare.gpu_hours() / 2.0, "{table}");
    assert!(lost("steady, random") <= 0.1, "{table}");
    assert!(lost("steady, least") <= 0.01, "{table}");
}

#[test]
fn nothing_is_lost_count_of() {
    for (case, row) in super::run_cases() {
        let outcome = &row.outcome;
        let ended = outcome.answered + outcome.lost();
        // What comes in the last seconds is still on its way.
        assert!(ended <= outcome.arrived, "{}", case.scenario.name);
        let open = outcome.arrived - ended;
        assert!(open <= 24 * 17, "{}: {open}", case.scenario.name);
    }
}

#[test]
fn a_run_is_the_same_again_and_another_seed_is_another_run() {
    let scenario = |seed| Scenario {
        seed,
        ..Scenario::product("same", load::steady(1.0, 600, 1), 60)
    };
    let run = |seed| {
        let scenario = scenario(seed);
        let row = super::row(&scenario, &mut Ours::new(&scenario));
        (
            row.outcome.p90_wait,
            row.outcome.lost(),
            row.outcome.gpu_time,
        )
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn the_picture_has_a_chart_for_each_row() {
    let rows = compare();
    let picture = svg(&rows);
    assert_eq!(picture.matches("<g ").count(), rows.len());
    assert_eq!(picture.matches("<polyline").count(), 4 * rows.len());
    assert!(picture.ends_with("</svg>\n"));
    assert_eq!(table(&rows).lines().count(), 2 + rows.len());
}
