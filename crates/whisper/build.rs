//! Compiles the kernels for GPUs, in builds for them.

use std::error::Error;

#[cfg_attr(
    not(feature = "cuda"),
    expect(clippy::unnecessary_wraps, reason = "there is nothing to compile")
)]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cuda/kernels");
    #[cfg(feature = "cuda")]
    compile_kernels()?;
    Ok(())
}

/// With the compiler and for the capability that Candle's kernels are compiled with.
#[cfg(feature = "cuda")]
fn compile_kernels() -> Result<(), Box<dyn Error>> {
    cudaforge::KernelBuilder::new()
        .source_dir("cuda/kernels")
        .watch(["cuda/kernels"])
        .arg("-Icuda/kernels/on_gpu")
        .arg("-std=c++17")
        .arg("-O3")
        .build_ptx()?;
    Ok(())
}
