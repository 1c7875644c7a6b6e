//! Our rule against the others, in figures that the same code gives on every machine.

use std::time::Duration;

use super::{Outcome, Row, compare, load::Load, svg, table};

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
            assert!(ours.served >= other.served * 99 / 100, "{about}");
        }
        let hpa = outcome(&rows, scenario, startup, "HPA-like");
        assert!(ours.gpu_time < hpa.gpu_time, "{scenario}: {}", table(&rows));
        assert!(
            ours.mean_backlog < hpa.mean_backlog,
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
        (ALL[0], 6, 25, 1.5, 2.3, 6),
        (ALL[1], 9, 99, 17.0, 2.7, 11),
        (ALL[2], 8, 97, 11.5, 2.5, 11),
        (ALL[3], 9, 114, 8.4, 1.65, 14),
        (ALL[4], 6, 20, 0.6, 14.2, 18),
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
    assert!(arrivals.is_sorted());
    assert_eq!(arrivals, chance.arrivals());
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
