//! Least numbers of replicas by the clock: cron expressions in a time zone.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::scale::Policy;

/// A replica that is wanted at a time begins to start this much earlier at most.
const LONGEST_LEAD: Duration = Duration::from_secs(3600);

/// The autoscaler's policy, and what the clock adds to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Auto {
    /// At any time.
    pub policy: Policy,
    /// At some times.
    pub schedules: Vec<Schedule>,
}

impl Auto {
    /// The policy at `now`. Replicas that take `startup` to start begin that much earlier, so that they are there
    /// when the schedule begins.
    pub fn at(&self, now: Timestamp, startup: Duration) -> Policy {
        let is_near = |schedule: &&Schedule| {
            // As many starts one after the other as there are groups that may start together.
            let groups = self
                .policy
                .max_starting
                .map_or(1, |most| schedule.min.div_ceil(most.max(1)));
            let lead = startup.saturating_mul(groups).min(LONGEST_LEAD);
            let soon = now.checked_add(lead).unwrap_or(now);
            schedule.is_active(now) || schedule.is_active(soon)
        };
        let active = self.schedules.iter().filter(is_near);
        let least = active.map(|schedule| schedule.min).max().unwrap_or(0);
        Policy {
            min: self.policy.min.max(least).min(self.policy.max),
            ..self.policy.clone()
        }
    }
}

/// A least number of replicas for a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    /// Never fewer replicas while it is active.
    pub min: u32,
    minutes: u32,
}

/// Why a schedule cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// There are not five fields.
    #[error("{cron:?} has not the five fields minute, hour, day, month and weekday")]
    Fields {
        /// What was written.
        cron: String,
    },
    /// A field is not understood.
    #[error("{field:?} in {cron:?} is no {name} within {least} and {most}")]
    Field {
        /// What was written.
        cron: String,
        /// Of it, what is not understood.
        field: String,
        /// What it should be.
        name: &'static str,
        /// Smallest value.
        least: u8,
        /// Largest value.
        most: u8,
    },
    /// The zone is not known.
    #[error("{zone:?} is no time zone: write it as in Europe/Berlin")]
    Zone {
        /// What was written.
        zone: String,
        /// What went wrong.
        source: jiff::Error,
    },
}

impl Schedule {
    /// From `cron` on, in `zone`, for `lasts`.
    ///
    /// # Errors
    /// [`ScheduleError`] for what is not understood.
    pub fn new(cron: &str, zone: &str, min: u32, lasts: Duration) -> Result<Self, ScheduleError> {
        let zone = TimeZone::get(zone).map_err(|source| ScheduleError::Zone {
            zone: zone.chars().take(80).collect(),
            source,
        })?;
        Ok(Self {
            cron: Cron::parse(cron)?,
            zone,
            min,
            minutes: u32::try_from(lasts.as_secs().div_ceil(60)).unwrap_or(u32::MAX),
        })
    }

    /// Whether it began within its length before `now`, by the clock of its zone.
    pub fn is_active(&self, now: Timestamp) -> bool {
        let mut at = self.zone.to_datetime(now);
        for _ in 0..self.minutes {
            if self.cron.fires(at) {
                return true;
            }
            let Ok(earlier) = at.checked_sub(1.minute()) else {
                return false;
            };
            at = earlier;
        }
        false
    }
}

/// When something begins: a bit for each minute, hour, day, month and weekday.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Either of day and weekday is enough when both are given, as cron has it.
    is_either_day: bool,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Cron {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let cron: String = text.chars().take(120).collect();
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else {
            return Err(ScheduleError::Fields { cron });
        };
        let bits = |field: &str, name: &'static str, least: u8, most: u8, words: &[&str]| {
            bits(field, least, most, words).ok_or_else(|| ScheduleError::Field {
                cron: cron.clone(),
                field: field.to_owned(),
                name,
                least,
                most,
            })
        };
        let weekdays = bits(weekday, "weekday", 0, 7, &WEEKDAYS)?;
        Ok(Self {
            minutes: bits(minute, "minute", 0, 59, &[])?,
            hours: bits(hour, "hour", 0, 23, &[])?,
            days: bits(day, "day", 1, 31, &[])?,
            months: bits(month, "month", 1, 12, &MONTHS)?,
            // Sunday is 0 and 7.
            weekdays: weekdays | weekdays >> 7,
            is_either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        })
    }

    fn fires(&self, at: DateTime) -> bool {
        let has = |bits: u64, number: i8| bits >> u32::from(number.unsigned_abs()) & 1 == 1;
        if !has(self.minutes, at.minute())
            || !has(self.hours, at.hour())
            || !has(self.months, at.month())
        {
            return false;
        }
        let day = has(self.days, at.day());
        let weekday = has(self.weekdays, at.weekday().to_sunday_zero_offset());
        if self.is_either_day {
            day || weekday
        } else {
            day && weekday
        }
    }
}

/// `1,3-5,*/10` as bits; `words` are names of numbers, the first of `least`.
fn bits(field: &str, least: u8, most: u8, words: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let word = words
            .iter()
            .position(|word| text.eq_ignore_ascii_case(word));
        let number = match word {
            Some(index) => u8::try_from(index).ok()? + least,
            None => text.parse().ok()?,
        };
        (least..=most).contains(&number).then_some(number)
    };
    let mut all = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1_usize),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step > 1 => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        if from > to {
            return None;
        }
        for number in (from..=to).step_by(step) {
            all |= 1 << number;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule::new(cron, zone, 5, Duration::from_secs(3600)).unwrap()
    }

    fn is_active(cron: &str, zone: &str, at: &str) -> bool {
        schedule(cron, zone).is_active(at.parse().unwrap())
    }

    #[test]
    fn it_lasts_from_its_minute_for_its_length_by_the_clock_of_its_zone() {
        // 2026-11-30 is a Monday; Berlin is an hour ahead in winter and two in summer.
        for (at, active) in [
            ("2026-11-30T05:59:59Z", false),
            ("2026-11-30T06:00:00Z", true),
            ("2026-11-30T06:59:59Z", true),
            ("2026-11-30T07:00:00Z", false),
            ("2026-07-06T05:00:00Z", true),
            ("2026-11-29T06:00:00Z", false),
        ] {
            assert_eq!(
                is_active("0 7 * * mon-fri", "Europe/Berlin", at),
                active,
                "{at}"
            );
        }
    }

    #[test]
    fn fields_are_read_as_cron_reads_them() {
        for (cron, at, active) in [
            ("*/30 6-8 * * *", "2026-11-30T08:30:00Z", true),
            ("*/30 6-8 * * *", "2026-11-30T09:40:00Z", false),
            ("0 6 1,15 * *", "2026-11-15T06:10:00Z", true),
            ("0 6 1 * sun", "2026-11-29T06:10:00Z", true),
            ("0 6 * * 7", "2026-11-29T06:10:00Z", true),
            ("0 6 * JAN *", "2026-11-29T06:10:00Z", false),
            ("5/20 6 * * *", "2026-11-29T06:05:00Z", true),
        ] {
            assert_eq!(is_active(cron, "Etc/UTC", at), active, "{cron} {at}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let hour = Duration::from_secs(3600);
        for (cron, zone, said) in [
            ("0 7 * *", "Etc/UTC", "five fields"),
            ("60 7 * * *", "Etc/UTC", "no minute within 0 and 59"),
            ("0 7 0 * *", "Etc/UTC", "no day within 1 and 31"),
            ("0 9-7 * * *", "Etc/UTC", "no hour"),
            ("*/0 7 * * *", "Etc/UTC", "no minute"),
            ("0 7 * * mon-", "Etc/UTC", "no weekday"),
            ("0 7 * * *", "Europe/Atlantis", "no time zone"),
        ] {
            let error = Schedule::new(cron, zone, 1, hour).unwrap_err().to_string();
            assert!(error.contains(said), "{cron} {zone}: {error}");
        }
    }

    #[test]
    fn replicas_begin_to_start_so_that_they_are_there_in_time() {
        let mut policy = crate::controller::testing::policy();
        (policy.min, policy.max) = (1, 4);
        let auto = Auto {
            policy,
            schedules: vec![schedule("0 7 * * *", "Etc/UTC")],
        };
        let min = |at: &str, startup: u64| {
            let at = at.parse().unwrap();
            auto.at(at, Duration::from_secs(startup)).min
        };
        assert_eq!(min("2026-11-30T06:57:00Z", 120), 1);
        // Five are asked for; four are the most.
        assert_eq!(min("2026-11-30T06:57:00Z", 180), 4);
        assert_eq!(min("2026-11-30T07:30:00Z", 0), 4);
        assert_eq!(min("2026-11-30T08:00:00Z", 600), 1);
    }
}
