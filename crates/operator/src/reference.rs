//! The operator's pages of `docs/reference`, made from the code. `UPDATE_DOCS=1 cargo test -p operator reference` writes
//! them; without it a page that is out of date fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::controller::reason::{Kind, Reason};
use crate::metrics;

#[path = "../../../tests/reference_page.rs"]
mod page;
use page::check;

/// A sentence that begins as one.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters
        .next()
        .map(|letter| letter.to_uppercase().to_string());
    first.map_or_else(|| "–".to_owned(), |first| first + letters.as_str() + ".")
}

#[test]
fn the_page_of_conditions_has_every_reason_of_each() {
    let mut page = String::from(
        "# Conditions of a WyomingStt\n\n`kubectl get wstt NAME -o yaml` shows them in `status.conditions`, each with a \
         message that names what is meant; `kubectl wait --for=condition=Ready wstt/NAME` waits for one. A new reason of \
         `Ready`, and one of `AutoscalingActive`, `CapacityLimited` or `Degraded` that tells of trouble, is an event too; so \
         are `Scaled` (the autoscaler ordered another number) and `LeftToOther` (the object is left to the operator of its \
         namespace).\n",
    );
    for kind in Kind::ALL {
        write!(
            page,
            "\n## {}\n\n{}\n\n| reason | meaning | what to do |\n|---|---|---|\n",
            kind.name(),
            kind.about()
        )
        .unwrap();
        for reason in Reason::ALL.iter().filter(|it| it.kinds().contains(&kind)) {
            writeln!(
                page,
                "| `{reason}` | {} | {} |",
                reason.meaning(),
                sentence(reason.advice())
            )
            .unwrap();
        }
    }
    check("conditions.md", &page);
}

#[test]
fn the_page_of_the_operators_metrics_is_what_its_meters_say() {
    let (sums, all) = (metrics::tests::page(false), metrics::tests::page(true));
    let described = |page: &str, kind: &str| -> BTreeMap<String, String> {
        let lines = page.lines().filter_map(|line| {
            let line = line.strip_prefix("# ")?.strip_prefix(kind)?;
            line.trim().split_once(' ')
        });
        lines
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect()
    };
    let (kinds, helps) = (described(&all, "TYPE"), described(&all, "HELP"));
    let without = described(&sums, "TYPE");
    let mut page = String::from(
        "# Metrics of the operator\n\nOn its admin port (10390) at `/metrics`, in Prometheus' text format; by OTLP without \
         the prefix `stt_operator_` and the unit. With `--metrics-per-object` (`metrics.perObject` of the chart) figures of \
         endpoints have the labels `name` and `namespace`, instead of their sums; those marked so are only there with it.\n\n\
         | name | type | meaning |\n|---|---|---|\n",
    );
    for (name, kind) in kinds {
        let only = if without.contains_key(&name) {
            ""
        } else {
            " (per object)"
        };
        writeln!(page, "| `{name}` | {kind}{only} | {} |", helps[&name]).unwrap();
    }
    check("operator-metrics.md", &page);
}
