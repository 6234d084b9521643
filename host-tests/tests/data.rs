//! What the data loader accepts, and in which words it refuses the rest.

use std::{fs, io::Write, path::Path, sync::LazyLock};

use drmad_host::data::{DataError, Dataset};
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

static MNIST: LazyLock<Dataset> = LazyLock::new(|| Dataset::mnist().expect("embedded MNIST"));

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// An IDX file, its words given in full: the magic number first.
fn idx(words: &[u32], payload: &[u8]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| word.to_be_bytes());
    words.chain(payload.iter().copied()).collect()
}

/// Three training and two test images of 2 x 3 pixels.
fn small() -> [(&'static str, Vec<u8>); 4] {
    let pixels: Vec<u8> = (0..18).map(|i| i * 10).collect();
    [
        (TRAIN_IMAGES, idx(&[0x803, 3, 2, 3], &pixels)),
        (TRAIN_LABELS, idx(&[0x801, 3], &[0, 4, 1])),
        (TEST_IMAGES, idx(&[0x803, 2, 2, 3], &pixels[..12])),
        (TEST_LABELS, idx(&[0x801, 2], &[5, 2])),
    ]
}

fn gzip(raw: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(raw).unwrap();
    encoder.finish().unwrap()
}

fn directory<N: AsRef<Path>>(files: impl IntoIterator<Item = (N, Vec<u8>)>) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

/// The error and its message, `DIR` standing for the directory, once `name`
/// among the small files has become `content`.
fn refusal(name: &str, content: Vec<u8>) -> (DataError, String) {
    let directory = directory(small());
    fs::write(directory.path().join(name), content).unwrap();
    refused(directory.path())
}

fn refused(directory: &Path) -> (DataError, String) {
    let error = Dataset::from_dir(directory).unwrap_err();
    let message = error.to_string();
    let message = message.replace(directory.to_str().unwrap(), "DIR");
    (error, message)
}

/// The claim in full: the error is of that variant and reads so.
macro_rules! assert_refused {
    ($refusal:expr, $variant:pat, $message:expr) => {{
        let (error, message) = $refusal;
        assert!(matches!(error, $variant), "{error:?}");
        assert_eq!(message, $message);
    }};
}

#[test]
fn embedded_mnist_has_the_published_sha256() {
    // Loading verifies; here it is seen that the bytes verified are the bytes handed out.
    use sha2::{Digest, Sha256};
    let sha256 = |words: &[u32], payload| {
        let digest = Sha256::digest(idx(words, payload));
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let Dataset { train, test } = &*MNIST;
    assert_eq!(
        sha256(&[0x803, 60_000, 28, 28], &train.pixels),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    );
    assert_eq!(
        sha256(&[0x801, 60_000], &train.labels),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
    );
    assert_eq!(
        sha256(&[0x803, 10_000, 28, 28], &test.pixels),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
    );
    assert_eq!(
        sha256(&[0x801, 10_000], &test.labels),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
    );
}

#[test]
fn embedded_mnist_has_its_well_known_shape_and_first_labels() {
    for (split, len, labels) in [
        (&MNIST.train, 60_000, [5, 0, 4, 1, 9]),
        (&MNIST.test, 10_000, [7, 2, 1, 0, 4]),
    ] {
        assert_eq!((split.rows, split.columns, split.width()), (28, 28, 784));
        assert_eq!((split.len(), split.pixels.len()), (len, len * 784));
        assert_eq!(split.labels[..5], labels);
        assert!(!split.is_empty());
    }
    assert_eq!(MNIST.classes(), 10);
}

#[test]
fn mean_pixel_is_the_exact_sum_rounded_once() {
    // Summed by another program.
    assert_eq!(
        MNIST.mean_pixel(),
        (1_567_298_545.0 / (47_040_000.0 * 255.0)) as f32
    );
    assert_eq!(MNIST.mean_pixel(), 0.130_660_48);
}

#[test]
fn a_directory_of_any_image_size_loads_row_by_row() {
    let dataset = Dataset::from_dir(directory(small()).path()).unwrap();
    assert_eq!((dataset.train.rows, dataset.train.columns), (2, 3));
    assert_eq!((dataset.train.len(), dataset.test.len()), (3, 2));
    assert_eq!(dataset.train.pixels[6..12], [60, 70, 80, 90, 100, 110]);
    assert_eq!(dataset.test.labels, [5, 2]);
    assert_eq!(dataset.mean_pixel(), (85.0f64 / 255.0) as f32);
}

#[test]
fn classes_count_to_the_largest_label_of_either_split() {
    let dataset = Dataset::from_dir(directory(small()).path()).unwrap();
    assert_eq!(dataset.classes(), 6);
}

#[test]
fn gzipped_and_raw_directories_agree() {
    let raw = Dataset::from_dir(directory(small()).path()).unwrap();
    let zipped = small().map(|(name, raw)| (format!("{name}.gz"), gzip(&raw)));
    assert!(Dataset::from_dir(directory(zipped).path()).unwrap() == raw);
}

#[test]
fn dotted_names_are_read_raw_and_gzipped() {
    let raw = Dataset::from_dir(directory(small()).path()).unwrap();
    let dotted = small().map(|(name, raw)| (name.replace("-idx", ".idx"), raw));
    assert!(Dataset::from_dir(directory(dotted.clone()).path()).unwrap() == raw);
    let zipped = dotted.map(|(name, raw)| (format!("{name}.gz"), gzip(&raw)));
    assert!(Dataset::from_dir(directory(zipped).path()).unwrap() == raw);
}

#[test]
fn compression_is_told_by_content_rather_than_name() {
    let raw = Dataset::from_dir(directory(small()).path()).unwrap();
    let unpacked = small().map(|(name, raw)| (format!("{name}.gz"), raw));
    assert!(Dataset::from_dir(directory(unpacked).path()).unwrap() == raw);
    let packed = small().map(|(name, raw)| (name, gzip(&raw)));
    assert!(Dataset::from_dir(directory(packed).path()).unwrap() == raw);
}

#[test]
fn embedded_mnist_survives_a_directory_in_gzip() {
    let Dataset { train, test } = &*MNIST;
    let files = [
        (TRAIN_IMAGES, idx(&[0x803, 60_000, 28, 28], &train.pixels)),
        (TRAIN_LABELS, idx(&[0x801, 60_000], &train.labels)),
        (TEST_IMAGES, idx(&[0x803, 10_000, 28, 28], &test.pixels)),
        (TEST_LABELS, idx(&[0x801, 10_000], &test.labels)),
    ];
    let files = files.map(|(name, raw)| (format!("{name}.gz"), gzip(&raw)));
    assert!(Dataset::from_dir(directory(files).path()).unwrap() == *MNIST);
}

#[test]
fn a_missing_file_is_named_with_its_directory() {
    let directory = directory(small());
    fs::remove_file(directory.path().join(TEST_LABELS)).unwrap();
    assert_refused!(
        refused(directory.path()),
        DataError::Missing { .. },
        "DIR: expected a file `t10k-labels-idx1-ubyte`, raw or with `.gz`, and found none: \
         give the directory that holds the four IDX files"
    );
}

#[test]
fn a_missing_directory_reads_like_a_missing_file() {
    let parent = tempfile::tempdir().unwrap();
    assert_refused!(
        refused(&parent.path().join("nowhere")),
        DataError::Missing { .. },
        "DIR: expected a file `train-images-idx3-ubyte`, raw or with `.gz`, and found none: \
         give the directory that holds the four IDX files"
    );
}

#[test]
fn a_directory_in_place_of_a_file_is_unreadable() {
    let directory = directory(small().into_iter().skip(1));
    fs::create_dir(directory.path().join(TRAIN_IMAGES)).unwrap();
    let (error, message) = refused(directory.path());
    assert!(matches!(error, DataError::Unreadable { .. }), "{error:?}");
    // The middle is the system's own.
    assert!(
        message.starts_with("DIR/train-images-idx3-ubyte: expected a readable file, found: ")
            && message.ends_with(": check what it is and who may read it"),
        "{message}"
    );
}

#[test]
fn swapped_images_and_labels_are_told_by_the_magic_number() {
    let [(_, images), (_, labels), ..] = small();
    assert_refused!(
        refusal(TRAIN_IMAGES, labels),
        DataError::Magic { .. },
        "DIR/train-images-idx3-ubyte: expected the magic number 0x00000803 of IDX images, \
         found 0x00000801: put the file of images under this name"
    );
    assert_refused!(
        refusal(TRAIN_LABELS, images),
        DataError::Magic { .. },
        "DIR/train-labels-idx1-ubyte: expected the magic number 0x00000801 of IDX labels, \
         found 0x00000803: put the file of labels under this name"
    );
}

#[test]
fn a_web_page_saved_under_the_name_is_refused() {
    assert_refused!(
        refusal(TRAIN_IMAGES, b"<html>404</html>".to_vec()),
        DataError::Magic { .. },
        "DIR/train-images-idx3-ubyte: expected the magic number 0x00000803 of IDX images, \
         found 0x3c68746d: put the file of images under this name"
    );
}

#[test]
fn truncated_file_is_refused_with_both_sizes() {
    let [(_, mut images), ..] = small();
    images.truncate(30);
    let message = "DIR/train-images-idx3-ubyte: expected 34 bytes, found 30: \
                   truncated, fetch the file again";
    for content in [gzip(&images), images] {
        assert_refused!(
            refusal(TRAIN_IMAGES, content),
            DataError::Truncated {
                expected: 34,
                found: 30,
                ..
            },
            message
        );
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_as_truncated() {
    for (name, whole) in small() {
        for len in 0..whole.len() {
            let (error, _) = refusal(name, whole[..len].to_vec());
            let header = if whole[3] == 3 { 16 } else { 8 };
            let all = if len < header { header } else { whole.len() };
            let (all, len) = (all as u64, len as u64);
            assert!(
                matches!(error, DataError::Truncated { expected, found, .. }
                    if (expected, found) == (all, len)),
                "{error:?}"
            );
        }
    }
}

#[test]
fn trailing_bytes_are_refused_with_both_sizes() {
    let [_, (_, mut labels), ..] = small();
    labels.extend([0; 5]);
    let message = "DIR/train-labels-idx1-ubyte: expected 11 bytes, found 16: \
                   the end does not belong to it, fetch the file again";
    for content in [gzip(&labels), labels] {
        assert_refused!(
            refusal(TRAIN_LABELS, content),
            DataError::Oversized {
                expected: 11,
                found: 16,
                ..
            },
            message
        );
    }
}

#[test]
fn differing_counts_of_images_and_labels_are_refused() {
    assert_refused!(
        refusal(TEST_LABELS, idx(&[0x801, 4], &[0, 1, 2, 3])),
        DataError::Counts {
            images: 2,
            labels: 4,
            ..
        },
        "DIR/t10k-labels-idx1-ubyte: expected 2 labels, one for each image of \
         DIR/t10k-images-idx3-ubyte, found 4: take both files from the same dataset"
    );
}

#[test]
fn splits_of_different_image_sizes_are_refused() {
    // As many pixels, so that the shape alone gives them away.
    assert_refused!(
        refusal(TEST_IMAGES, idx(&[0x803, 2, 3, 2], &[0; 12])),
        DataError::Sizes {
            train: (2, 3),
            test: (3, 2),
            ..
        },
        "DIR/t10k-images-idx3-ubyte: expected test images of 2 x 3 pixels, as in \
         DIR/train-images-idx3-ubyte, found 3 x 2: take all four files from the same dataset"
    );
}

#[test]
fn a_dataset_of_no_images_is_refused() {
    assert_refused!(
        refusal(TRAIN_IMAGES, idx(&[0x803, 0, 28, 28], &[])),
        DataError::Empty { .. },
        "DIR/train-images-idx3-ubyte: expected at least one of its images, found none: \
         use a dataset with examples"
    );
    assert_refused!(
        refusal(TEST_LABELS, idx(&[0x801, 0], &[])),
        DataError::Empty { .. },
        "DIR/t10k-labels-idx1-ubyte: expected at least one of its labels, found none: \
         use a dataset with examples"
    );
}

#[test]
fn images_without_pixels_are_refused() {
    for (rows, columns) in [(0, 28), (28, 0), (0, 0)] {
        assert_refused!(
            refusal(TRAIN_IMAGES, idx(&[0x803, 3, rows, columns], &[])),
            DataError::Dimensions { .. },
            format!(
                "DIR/train-images-idx3-ubyte: expected images that fit in memory, found a header \
                 of 3 images of {rows} x {columns} pixels: fetch the file again"
            )
        );
    }
}

#[test]
fn a_header_that_overflows_is_refused() {
    let max = u32::MAX;
    assert_refused!(
        refusal(TRAIN_IMAGES, idx(&[0x803, max, max, max], &[1, 2, 3])),
        DataError::Dimensions { .. },
        "DIR/train-images-idx3-ubyte: expected images that fit in memory, found a header of \
         4294967295 images of 4294967295 x 4294967295 pixels: fetch the file again"
    );
    // The pixels alone come to 2^64 - 1 and fit; the header is the last straw.
    let (error, _) = refusal(TRAIN_IMAGES, idx(&[0x803, max, 641, 6_700_417], &[]));
    assert!(matches!(error, DataError::Dimensions { .. }), "{error:?}");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_header_that_promises_terabytes_is_refused_without_allocating() {
    // More than any address space holds, so that reserving it could only fail or abort.
    let promise = idx(&[0x803, u32::MAX, 65_535, 65_535], &[7; 4]);
    let message = "DIR/train-images-idx3-ubyte: expected 18446181123756261391 bytes, found 20: \
                   truncated, fetch the file again";
    for content in [gzip(&promise), promise] {
        assert_refused!(
            refusal(TRAIN_IMAGES, content),
            DataError::Truncated { .. },
            message
        );
    }
}

#[test]
fn a_broken_gzip_stream_is_refused_at_every_place() {
    let [(_, images), ..] = small();
    let whole = gzip(&images);
    // The first two bytes make it gzip; all after them are the stream's own.
    let cut = (2..whole.len()).map(|len| whole[..len].to_vec());
    // The last eight are its sum and length.
    let flipped = (whole.len() - 8..whole.len()).map(|place| {
        let mut broken = whole.clone();
        broken[place] ^= 0x10;
        broken
    });
    for content in cut.chain(flipped) {
        let (error, message) = refusal(TRAIN_IMAGES, content);
        assert!(matches!(error, DataError::BrokenGzip { .. }), "{error:?}");
        assert!(
            message
                .starts_with("DIR/train-images-idx3-ubyte: expected a whole gzip stream, found: ")
                && message.ends_with(": fetch the file again"),
            "{message}"
        );
    }
}

#[test]
fn no_single_damaged_byte_makes_the_loader_panic() {
    for (name, raw) in small() {
        for whole in [gzip(&raw), raw] {
            for place in 0..whole.len() {
                let mut damaged = whole.clone();
                damaged[place] ^= 0xff;
                let directory = directory(small());
                fs::write(directory.path().join(name), damaged).unwrap();
                let _ = Dataset::from_dir(directory.path());
            }
        }
    }
}
