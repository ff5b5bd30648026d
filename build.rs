//! Generates the messages and services of the gRPC door from `proto/`.
//!
//! The compiler is a Rust library, so that whoever builds the crate needs no `protoc`. Without the
//! feature `grpc` there is nothing to do.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(feature = "grpc")]
    grpc::generate()?;
    Ok(())
}

#[cfg(feature = "grpc")]
mod grpc {
    use std::error::Error;
    use std::path::{Path, PathBuf};

    const ROOT: &str = "proto";
    const PACKAGE: &str = "proto/smache/v1";

    pub(crate) fn generate() -> Result<(), Box<dyn Error>> {
        println!("cargo::rerun-if-changed={ROOT}");
        let mut files: Vec<PathBuf> = std::fs::read_dir(PACKAGE)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|is| is == "proto"));
        files.sort();
        let mut compiler = protox::Compiler::new([ROOT])?;
        compiler.include_imports(true).include_source_info(true);
        compiler.open_files(&files)?;
        // What reflection answers with, comments included.
        let out = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?;
        let descriptors = Path::new(&out).join("smache.v1.bin");
        std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
        tonic_prost_build::configure()
            // A program that wants tonic's own transport enables it itself.
            .build_transport(false)
            // Values are cut out of the received message, not copied.
            .bytes(".")
            .compile_fds(compiler.file_descriptor_set())?;
        Ok(())
    }
}
