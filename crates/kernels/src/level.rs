//! Which vector instructions are used: found once on the running CPU, never at compile time.

mod amx;

use std::{fmt, io};

/// Sets of vector instructions that kernels are written for, from the lowest to the highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Instructions {
    /// Whatever the compiler may use everywhere.
    Portable,
    /// AVX2 and FMA.
    Avx2,
    /// AVX2 with byte products of AVX-VNNI.
    AvxVnni,
    /// AVX-512 with byte products of VNNI.
    Avx512Vnni,
    /// The same, and byte products of whole tiles of AMX, which Linux gives to a process that asks for it.
    AmxInt8,
}

/// A set of vector instructions that the running CPU has. Only this module can make one, so that kernels may rely on
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Instructions);

/// A computation that can be compiled for any level.
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`.
    fn run<I: Isa>(self) -> Self::Output;
}

/// What generic loops need to know of the instructions that they are compiled for.
pub trait Isa {
    /// Whether `f32::mul_add` is one instruction; where it is not, it is a slow function.
    const FUSED: bool;
    /// Whether there are 32 registers of 16 values, for large tiles.
    const WIDE: bool;
}

/// Instructions that every CPU of the architecture has.
#[derive(Debug)]
pub struct Plain;
impl Isa for Plain {
    const FUSED: bool = cfg!(target_arch = "aarch64");
    const WIDE: bool = false;
}

pub(crate) struct Fused;
impl Isa for Fused {
    const FUSED: bool = true;
    const WIDE: bool = false;
}

pub(crate) struct Wide;
impl Isa for Wide {
    const FUSED: bool = true;
    const WIDE: bool = true;
}

impl Level {
    /// The highest level of this CPU.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::PORTABLE)
    }

    /// Loops without explicit vector instructions, which every CPU can run.
    pub const PORTABLE: Self = Self(Instructions::Portable);

    /// `None` where this CPU lacks the instructions.
    pub fn new(instructions: Instructions) -> Option<Self> {
        is_there(instructions).then_some(Self(instructions))
    }

    /// All levels of this CPU, from the lowest to the highest.
    pub fn available() -> Vec<Self> {
        [
            Instructions::Portable,
            Instructions::Avx2,
            Instructions::AvxVnni,
            Instructions::Avx512Vnni,
            Instructions::AmxInt8,
        ]
        .into_iter()
        .filter_map(Self::new)
        .collect()
    }

    /// The level of this CPU that is called so, as [`Self`] is displayed.
    pub fn named(name: &str) -> Option<Self> {
        let mut levels = Self::available().into_iter();
        levels.find(|level| level.to_string() == name)
    }

    /// Why the system keeps AMX from this process although the CPU has it; the level below is the best then.
    pub fn amx_refusal() -> Option<&'static io::Error> {
        amx::permission()?.err()
    }

    /// What is used.
    pub fn instructions(self) -> Instructions {
        self.0
    }

    /// Whether there is an instruction that multiplies unsigned with signed bytes and adds four products to a sum.
    pub fn multiplies_bytes(self) -> bool {
        self.0 >= Instructions::AvxVnni
    }

    /// Runs `kernel` compiled for this level.
    #[inline]
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        match self.0 {
            Instructions::Portable => {}
            // SAFETY: a `Level` of these instructions exists only where the CPU has them.
            Instructions::Avx2 | Instructions::AvxVnni => return unsafe { avx2(kernel) },
            // SAFETY: as above.
            Instructions::Avx512Vnni | Instructions::AmxInt8 => return unsafe { avx512(kernel) },
        }
        kernel.run::<Plain>()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Instructions::Portable => "portable",
            Instructions::Avx2 => "avx2",
            Instructions::AvxVnni => "avx-vnni",
            Instructions::Avx512Vnni => "avx512-vnni",
            Instructions::AmxInt8 => "amx-int8",
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Fused>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Wide>()
}

#[cfg(target_arch = "x86_64")]
fn is_there(instructions: Instructions) -> bool {
    let avx2 = || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    match instructions {
        Instructions::Portable => true,
        Instructions::Avx2 => avx2(),
        Instructions::AvxVnni => avx2() && is_x86_feature_detected!("avxvnni"),
        Instructions::Avx512Vnni => {
            avx2()
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
        }
        Instructions::AmxInt8 => {
            is_there(Instructions::Avx512Vnni) && matches!(amx::permission(), Some(Ok(())))
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_there(instructions: Instructions) -> bool {
    instructions == Instructions::Portable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portable_is_always_there_and_the_best_is_the_last() {
        let levels = Level::available();
        assert_eq!(levels.first(), Some(&Level::PORTABLE));
        assert_eq!(levels.last(), Some(&Level::best()));
        assert!(levels.is_sorted());
        assert!(Level::amx_refusal().is_none() || Level::new(Instructions::AmxInt8).is_none());
        // `amx/check` reads both.
        for level in levels {
            println!("level: {level}");
        }
        println!("refused: {:?}", Level::amx_refusal());
    }
}
