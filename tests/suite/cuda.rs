//! The CUDA build, as far as it can be tested where there is no CUDA.

use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/whisper/cuda")
}

/// What a command prints, if it ends well.
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_scripts_are_bash() {
    for script in ["build", "check", "check-kernels", "emulate", "toolkit.sh"] {
        printed(Command::new("bash").arg("-n").arg(folder().join(script)));
    }
}

#[test]
fn the_toolkit_is_pinned_with_sums_and_of_one_release() {
    let toolkit = std::fs::read_to_string(folder().join("toolkit.txt")).unwrap();
    let mut compilers = Vec::new();
    for line in toolkit.lines().filter(|line| !line.starts_with('#')) {
        let (package, sum) = line.split_once(" --hash=sha256:").unwrap();
        let (name, version) = package.split_once("==").unwrap();
        assert!(name.starts_with("nvidia-"), "{line}");
        assert!(
            sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{line}"
        );
        if ["nvidia-cuda-nvcc", "nvidia-cuda-crt", "nvidia-nvvm"].contains(&name) {
            compilers.push(version);
        }
    }
    assert_eq!(compilers.len(), 3);
    assert!(
        compilers.iter().all(|version| *version == compilers[0]),
        "{compilers:?}"
    );
    // What the documents say of the drivers depends on it.
    assert!(compilers[0].starts_with("13.0."));
    for document in ["docs/gpu.md", "Dockerfile"] {
        let text = std::fs::read_to_string(folder().join("../../..").join(document)).unwrap();
        assert!(text.contains("CUDA 13.0"), "{document}");
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernels_give_on_a_cpu_what_plain_loops_do() {
    let said = printed(&mut Command::new(folder().join("check-kernels")));
    assert!(
        said.ends_with("results of the CUDA kernels are right"),
        "{said}"
    );
}

/// A library with a function of integers and floats in registers and on the stack, and a program that calls it.
const TOY: &str = "
    int toyOpen(long a, long b) { return 0; }
    double toyMix(int a, double b, long c, long d, long e, long f, long g, long h) {
        return a + b + c + d + e + f + g + h;
    }
";
const USER: &str = "
    #include <stdio.h>
    int toyOpen(long, long);
    double toyMix(int, double, long, long, long, long, long, long);
    int toyNewer(void);
    int main(void) {
        int before = toyNewer();
        if (toyOpen(1, 2))
            printf(\"missing %d %d\", before, toyNewer());
        else
            printf(\"%g %d %d\", toyMix(1, 2.5, 3, 4, 5, 6, 7, 8), before, toyNewer());
        return 0;
    }
";

/// This is how the program starts without a driver.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_program_with_late_libraries_starts_without_them_and_uses_them_when_they_are_there() {
    let scratch = tempfile::tempdir().unwrap();
    let cc = |arguments: &[&str]| {
        let mut command = Command::new("cc");
        printed(command.args(arguments).current_dir(scratch.path()))
    };
    for (name, text) in [
        ("toy.c", TOY),
        ("user.c", USER),
        ("slots.h", "FUNCTION(toyMix)\nFUNCTION(toyNewer)\n"),
    ] {
        std::fs::write(scratch.path().join(name), text).unwrap();
    }
    let late = folder().join("late.c");
    cc(&[
        "-O2",
        "-Wall",
        "-Werror",
        "-fPIC",
        "-I.",
        "-DLIBRARY=\"libtoy.so.1\"",
        "-DDOOR=toyOpen",
        "-DSTATUS=34",
        "-DSLOTS=\"slots.h\"",
        "-c",
        late.to_str().unwrap(),
        "-o",
        "late.o",
    ]);
    cc(&["user.c", "late.o", "-Wl,-rpath,$ORIGIN", "-o", "user"]);
    let user = || printed(&mut Command::new(scratch.path().join("user")));
    assert_eq!(user(), "missing 34 34");
    cc(&["-shared", "-fPIC", "toy.c", "-o", "libtoy.so.1"]);
    assert_eq!(user(), "36.5 34 34");
}
