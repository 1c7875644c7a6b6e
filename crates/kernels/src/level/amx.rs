//! Whether this process may use AMX: the CPU has it, Linux keeps its registers, and lets this process use them.

use std::io;

/// `None` where the CPU lacks it. Asks Linux for permission, once; all threads have it then.
pub(super) fn permission() -> Option<Result<(), &'static io::Error>> {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    return linux::permission();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    None
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod linux {
    use std::{
        arch::{
            asm,
            x86_64::{__cpuid, __cpuid_count, _xgetbv},
        },
        io,
        sync::OnceLock,
    };

    /// The component of the CPU's state that the registers are, by its number in XCR0.
    const TILE_DATA: u32 = 18;
    /// The same and what shapes they have.
    const TILES: u64 = (1 << TILE_DATA) | (1 << 17);

    pub(super) fn permission() -> Option<Result<(), &'static io::Error>> {
        static ANSWER: OnceLock<Option<io::Result<()>>> = OnceLock::new();
        let answer = ANSWER.get_or_init(|| is_in_cpu().then(request));
        answer.as_ref().map(|answer| answer.as_ref().copied())
    }

    /// AMX-TILE and AMX-INT8, with eight registers of 16 rows of 64 bytes, the only kind so far.
    fn is_in_cpu() -> bool {
        let last = __cpuid(0).eax;
        if last < 0x1d {
            return false;
        }
        let features = __cpuid_count(7, 0).edx;
        let both = (1 << 24) | (1 << 25);
        let registers = __cpuid_count(0x1d, 1);
        features & both == both && registers.ebx == (8 << 16) | 64 && registers.ecx & 0xffff == 16
    }

    fn request() -> io::Result<()> {
        if !is_kept_by_system() {
            let reason = "Linux does not keep its registers: it is older than 5.16, or told not to";
            return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
        }
        match request_tile_data() {
            0 => Ok(()),
            failed => Err(io::Error::from_raw_os_error(
                i32::try_from(-failed).unwrap_or(0),
            )),
        }
    }

    fn is_kept_by_system() -> bool {
        // Bit 27: the system has turned on XGETBV and what it tells.
        if __cpuid(1).ecx & (1 << 27) == 0 {
            return false;
        }
        // SAFETY: the instruction is there, as was just read.
        let kept = unsafe { _xgetbv(0) };
        kept & TILES == TILES
    }

    /// `arch_prctl(ARCH_REQ_XCOMP_PERM, TILE_DATA)`: 0, or an error's number below it. Linux keeps 8 KiB for each thread
    /// from its first use on, and wants room for them on its signal stack, so a process has to ask.
    fn request_tile_data() -> i64 {
        let mut result: i64 = 158;
        // SAFETY: the call reads and writes no memory of ours; it leaves all registers but these as they are.
        unsafe {
            asm!(
                "syscall",
                inout("rax") result,
                in("rdi") 0x1023,
                in("rsi") u64::from(TILE_DATA),
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
}
