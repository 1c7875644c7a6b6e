//! CPU and memory that a replica needs, by model, device and precision, as measured.

use crate::api::{DeviceType, WyomingSttSpec};
use crate::controller::names::SERVER;

/// Memory of a process that is its own (`RssAnon`), in MiB. What it maps of the checkpoint counts as the container's
/// too, but goes back when anything else needs it.
///
/// Measured on Linux with AVX-512 and AMX: recordings of 29 s, five hypotheses, 212 tokens each, with random weights
/// of the official shapes. OpenAI's tiny.en and base took up to 20 % less. What a further utterance adds in f32 was measured up to small,
/// and is in proportion to int8 above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Footprint {
    /// The most while it starts for the first time, when int8 weights are packed.
    start: u32,
    /// The most while it transcribes one utterance.
    one: u32,
    /// What each further one adds that is transcribed together with it.
    more: u32,
}

const fn footprint(start: u32, one: u32, more: u32) -> Footprint {
    Footprint { start, one, more }
}

/// A published size of Whisper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Demo,
    Tiny,
    Base,
    Small,
    Medium,
    Turbo,
    Large,
}

impl Size {
    /// By the words of a model's name, as in `openai/whisper-base.en`, `Systran/faster-whisper-small` or
    /// `distil-whisper/distil-large-v3`. A name that says nothing is taken for small, as people train that and smaller
    /// ones most.
    fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let words = || name.split(|letter: char| !letter.is_ascii_alphanumeric());
        let has = |word: &str| words().any(|it| it == word);
        if name == "demo" {
            return Self::Demo;
        }
        // Both have the encoder of large and a decoder of few layers.
        if has("turbo") || (has("distil") && has("large")) {
            return Self::Turbo;
        }
        let known = [
            ("tiny", Self::Tiny),
            ("base", Self::Base),
            ("small", Self::Small),
            ("medium", Self::Medium),
            ("large", Self::Large),
        ];
        let found = known.into_iter().find(|(word, _)| has(word));
        found.map_or(Self::Small, |(_, size)| size)
    }

    fn int8(self) -> Footprint {
        match self {
            Self::Demo => footprint(8, 17, 6),
            Self::Tiny => footprint(161, 106, 25),
            Self::Base => footprint(219, 181, 44),
            Self::Small => footprint(337, 424, 119),
            Self::Medium => footprint(937, 1194, 308),
            Self::Turbo => footprint(1003, 935, 71),
            Self::Large => footprint(1806, 2256, 508),
        }
    }

    fn f32(self) -> Footprint {
        match self {
            Self::Demo => footprint(13, 24, 8),
            Self::Tiny => footprint(187, 207, 41),
            Self::Base => footprint(325, 371, 71),
            Self::Small => footprint(975, 1144, 198),
            Self::Medium => footprint(3001, 3454, 512),
            Self::Turbo => footprint(3140, 3221, 115),
            Self::Large => footprint(6027, 6772, 830),
        }
    }

    /// Computed, as no GPU was at hand: CUDA's context and libraries take 300 to 500 MiB of the host's memory, and
    /// weights go to the device one tensor after the other, the largest of them (the vocabulary's) in f32 and f16.
    fn on_gpu(self) -> u32 {
        match self {
            Self::Demo | Self::Tiny | Self::Base | Self::Small | Self::Medium => 1024,
            Self::Turbo | Self::Large => 1536,
        }
    }

    /// Thousandths of a CPU for a replica that rests most of the day. It keeps the replica's share when its node is
    /// busy; what the node has free it may use beyond that.
    fn resting_cpu(self) -> u32 {
        match self {
            Self::Demo | Self::Tiny | Self::Base => 250,
            Self::Small => 500,
            Self::Medium | Self::Turbo | Self::Large => 1000,
        }
    }
}

/// Memory for what clients send, what they are answered, and names: 100 KB for each second of open audio.
const TRAFFIC_MIB: u32 = 64;
/// Requests are a multiple of this.
const STEP_MIB: u32 = 64;

/// What a replica with `slots` utterances at once asks for.
pub(super) fn needs(spec: &WyomingSttSpec, slots: u32) -> [(&'static str, String); 2] {
    let size = Size::of(&spec.model.name);
    let memory = match spec.device.type_ {
        DeviceType::Cuda => size.on_gpu(),
        DeviceType::Cpu => {
            let footprint = if is_f32(spec) {
                size.f32()
            } else {
                size.int8()
            };
            memory(footprint, slots)
        }
    };
    [("cpu", cpu(spec, size)), ("memory", quantity(memory))]
}

fn quantity(mebibytes: u32) -> String {
    if mebibytes.is_multiple_of(1024) {
        format!("{}Gi", mebibytes / 1024)
    } else {
        format!("{mebibytes}Mi")
    }
}

fn memory(footprint: Footprint, slots: u32) -> u32 {
    let busy = footprint.one + footprint.more * slots.saturating_sub(1);
    (footprint.start.max(busy) + TRAFFIC_MIB).next_multiple_of(STEP_MIB)
}

/// A server that waits for clients takes less than 5 thousandths of a CPU, and a request that small would let a node
/// take more replicas than it can run. Replicas that follow the queue are kept at work: they ask for the threads that
/// they compute with, so that the rate that one of them shows is what the next one adds. One whose number is fixed
/// rests, and asks for a part. A replica on a GPU keeps one thread busy with it.
fn cpu(spec: &WyomingSttSpec, size: Size) -> String {
    let threads = spec.device.cpu_threads.unwrap_or(1).max(1);
    match (spec.device.type_, &spec.autoscaling) {
        (DeviceType::Cuda, _) => "1".to_owned(),
        (DeviceType::Cpu, Some(_)) => threads.to_string(),
        (DeviceType::Cpu, None) => match size.resting_cpu() {
            1000 => "1".to_owned(),
            thousandths => format!("{thousandths}m"),
        },
    }
}

/// Whether the pod template sets the precision that needs more memory. By default, CPUs compute in int8; those without
/// AVX2, which would not, are older than nodes of a cluster.
fn is_f32(spec: &WyomingSttSpec) -> bool {
    let template = spec.pod_template.as_ref().and_then(|it| it.parse().ok());
    let pod = template.and_then(|template| template.spec);
    let containers = pod.into_iter().flat_map(|pod| pod.containers);
    let mut env = containers
        .filter(|container| container.name == SERVER)
        .flat_map(|container| container.env.unwrap_or_default());
    env.any(|it| it.name == "STT_PRECISION" && it.value.as_deref() == Some("f32"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controller::testing::object;

    fn asked(spec: &Value, slots: u32) -> (String, String) {
        let [(_, cpu), (_, memory)] = needs(&object(spec).spec, slots);
        (cpu, memory)
    }

    #[test]
    fn sizes_are_found_in_names_as_people_write_them() {
        for (name, size) in [
            ("demo", Size::Demo),
            ("tiny.en", Size::Tiny),
            ("openai/whisper-base.en", Size::Base),
            ("Systran/faster-whisper-small", Size::Small),
            ("org/whisper-medium-de", Size::Medium),
            ("large-v3-turbo", Size::Turbo),
            ("distil-whisper/distil-large-v3", Size::Turbo),
            ("distil-whisper/distil-small.en", Size::Small),
            ("openai/whisper-large-v2", Size::Large),
            ("org/hearing", Size::Small),
            ("org/largest", Size::Small),
        ] {
            assert_eq!(Size::of(name), size, "{name}");
        }
    }

    #[test]
    fn memory_follows_precision_device_and_batch() {
        let small = json!({"model": {"name": "small"}});
        assert_eq!(asked(&small, 1).1, "512Mi");
        assert_eq!(asked(&small, 4).1, "896Mi");
        let f32 = json!({"model": {"name": "small"}, "podTemplate": {"spec": {"containers": [
            {"name": "server", "env": [{"name": "STT_PRECISION", "value": "f32"}]}]}}});
        assert_eq!(asked(&f32, 1).1, "1216Mi");
        let gpu = json!({"model": {"name": "small"}, "device": {"type": "Cuda"}});
        assert_eq!(asked(&gpu, 64), ("1".to_owned(), "1Gi".to_owned()));
    }

    #[test]
    fn a_first_start_may_need_more_than_the_work() {
        let tiny = json!({"model": {"name": "tiny"}});
        assert_eq!(asked(&tiny, 1).1, asked(&tiny, 2).1);
    }

    #[test]
    fn replicas_that_are_kept_at_work_ask_for_their_threads() {
        let cpu = |more: Value| {
            let mut spec = json!({"model": {"name": "base"}});
            for (field, value) in more.as_object().unwrap() {
                spec[field] = value.clone();
            }
            asked(&spec, 1).0
        };
        assert_eq!(cpu(json!({})), "250m");
        assert_eq!(cpu(json!({"device": {"cpuThreads": 4}})), "250m");
        assert_eq!(cpu(json!({"autoscaling": {"maxReplicas": 3}})), "1");
        let both = json!({"autoscaling": {"maxReplicas": 3}, "device": {"cpuThreads": 4}});
        assert_eq!(cpu(both), "4");
    }
}
