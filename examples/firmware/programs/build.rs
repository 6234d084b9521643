//! Packs MNIST's first images for flash: of each pixel that is not black where it stands (16 bits) and
//! its byte.

use std::env;
use std::error::Error;
use std::fs::{File, write};
use std::io::Read;
use std::path::{Path, PathBuf};

use ruzstd::decoding::StreamingDecoder;

/// Images from the training file, and from the test file.
const TRAIN_FILE: usize = 1500;
const TEST_FILE: usize = 500;
const PIXELS: usize = 784;

/// The first `len` bytes after the header of an IDX file.
fn first(name: &str, header: usize, len: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let data = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../../host-tests/data");
    let path = data.join(name).with_extension("zst");
    println!("cargo::rerun-if-changed={}", path.display());
    let mut bytes = vec![0; header + len];
    StreamingDecoder::new(File::open(path)?)?.read_exact(&mut bytes)?;
    Ok(bytes.split_off(header))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut images, mut labels) = (vec![], vec![]);
    for (name, count) in [("train", TRAIN_FILE), ("t10k", TEST_FILE)] {
        images.extend(first(
            &format!("{name}-images-idx3-ubyte"),
            16,
            count * PIXELS,
        )?);
        labels.extend(first(&format!("{name}-labels-idx1-ubyte"), 8, count)?);
    }
    let (mut starts, mut indices, mut bytes) = (vec![0u32], vec![], vec![]);
    for image in images.chunks(PIXELS) {
        for (i, byte) in image.iter().enumerate().filter(|(_, byte)| **byte > 0) {
            indices.extend((i as u16).to_le_bytes());
            bytes.push(*byte);
        }
        starts.push(bytes.len() as u32);
    }
    let starts: Vec<u8> = starts.iter().flat_map(|x| x.to_le_bytes()).collect();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    write(out.join("starts"), starts)?;
    write(out.join("indices"), indices)?;
    write(out.join("bytes"), bytes)?;
    write(out.join("labels"), labels)?;
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}
