//! What the data loader accepts, and in which words it refuses the rest.

use npyz::WriterBuilder;
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
fn several_gzip_streams_and_zeros_behind_them_are_read_as_gzip_reads_them() {
    let raw = Dataset::from_dir(directory(small()).path()).unwrap();
    let [(name, images), ..] = small();
    let (head, tail) = images.split_at(20);
    // Longer than any buffer, so that the padding comes in pieces.
    let zeros = vec![0; 100_000];
    for content in [
        [gzip(head), gzip(tail)].concat(),
        [gzip(head), gzip(&[]), gzip(tail)].concat(),
        [gzip(&images), vec![0]].concat(),
        [gzip(&images), zeros.clone()].concat(),
        [gzip(head), zeros.clone(), gzip(tail), zeros].concat(),
    ] {
        let directory = directory(small());
        fs::write(directory.path().join(name), content).unwrap();
        assert!(Dataset::from_dir(directory.path()).unwrap() == raw);
    }
}

#[test]
fn what_else_stands_behind_a_gzip_stream_is_refused_for_what_it_is() {
    let [(name, images), ..] = small();
    for (behind, byte) in [
        (&b"rubbish"[..], "0x72"),
        (b"\0\0\0?", "0x3f"),
        (
            b"PK\x03\x04 and more than the ten bytes of a header",
            "0x50",
        ),
    ] {
        let content = [&gzip(&images)[..], behind].concat();
        assert_refused!(
            refusal(name, content),
            DataError::BrokenGzip { .. },
            format!(
                "DIR/{name}: expected a whole gzip stream, found: the byte {byte} behind its end: \
                 fetch the file again"
            )
        );
    }
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
         give the directory that holds the four IDX or NPY files"
    );
}

#[test]
fn a_missing_directory_reads_like_a_missing_file() {
    let parent = tempfile::tempdir().unwrap();
    assert_refused!(
        refused(&parent.path().join("nowhere")),
        DataError::Missing { .. },
        "DIR: expected a file `train-images-idx3-ubyte`, raw or with `.gz`, and found none: \
         give the directory that holds the four IDX or NPY files"
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

/// An NPY file of version 1 as NumPy writes it, the header padded to 128 bytes.
fn npy_of(descr: &str, fortran: bool, shape: &str, payload: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    npy_with(
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"),
        payload,
    )
}

fn npy_with(mut header: String, payload: &[u8]) -> Vec<u8> {
    header = format!("{header:<117}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(payload);
    file
}

/// The small dataset in NPY, with NumPy's own type of integers for some labels.
fn small_npy() -> [(&'static str, Vec<u8>); 4] {
    let pixels: Vec<u8> = (0..18).map(|i| i * 10).collect();
    let wide: Vec<u8> = [0i64, 4, 1]
        .into_iter()
        .flat_map(i64::to_le_bytes)
        .collect();
    [
        (
            "train_images.npy",
            npy_of("|u1", false, "(3, 2, 3)", &pixels),
        ),
        ("train_labels.npy", npy_of("<i8", false, "(3,)", &wide)),
        (
            "test_images.npy",
            npy_of("|u1", false, "(2, 2, 3)", &pixels[..12]),
        ),
        ("test_labels.npy", npy_of("|u1", false, "(2,)", &[5, 2])),
    ]
}

/// As [`refusal`], among the small files in NPY.
fn npy_refusal(name: &str, content: Vec<u8>) -> (DataError, String) {
    let directory = directory(small_npy());
    fs::write(directory.path().join(name), content).unwrap();
    refused(directory.path())
}

#[test]
fn mnist_in_npy_is_mnist() {
    let directory = tempfile::tempdir().unwrap();
    for (split, name) in [(&MNIST.train, "train"), (&MNIST.test, "test")] {
        let path = |what| directory.path().join(format!("{name}_{what}.npy"));
        let n = split.len() as u64;
        // By other writers than the one above; labels as NumPy would have them.
        let mut bytes = vec![];
        let options = npyz::WriteOptions::new().default_dtype();
        let writer = options.shape(&[n, 28, 28]).writer(&mut bytes);
        let mut writer = writer.begin_nd().unwrap();
        writer.extend(split.pixels.iter().copied()).unwrap();
        writer.finish().unwrap();
        fs::write(path("images"), bytes).unwrap();
        let labels = split.labels.iter().map(|label| i64::from(*label));
        drmad_host::data::npy::write(&path("labels"), &[n], labels).unwrap();
    }
    assert!(Dataset::from_dir(directory.path()).unwrap() == *MNIST);
}

#[test]
fn npy_and_idx_agree_and_npy_is_taken_where_both_are() {
    let of_idx = Dataset::from_dir(directory(small()).path()).unwrap();
    let both = directory(small_npy());
    assert!(Dataset::from_dir(both.path()).unwrap() == of_idx);
    for (name, _) in small() {
        fs::write(both.path().join(name), "not to be read").unwrap();
    }
    assert!(Dataset::from_dir(both.path()).unwrap() == of_idx);
}

#[test]
fn labels_of_any_integer_type_and_byte_order_are_read() {
    let of_u8 = Dataset::from_dir(directory(small_npy()).path()).unwrap();
    for size in [1usize, 2, 4, 8] {
        for (order, sign) in ["<u", "<i", ">u", ">i", "=i", "|u"].map(|d| d.split_at(1)) {
            let payload = [5u64, 2].into_iter().flat_map(|label| {
                let mut bytes = label.to_le_bytes()[..size].to_vec();
                if order == ">" {
                    bytes.reverse();
                }
                bytes
            });
            let payload: Vec<u8> = payload.collect();
            let directory = directory(small_npy());
            let file = npy_of(&format!("{order}{sign}{size}"), false, "(2,)", &payload);
            fs::write(directory.path().join("test_labels.npy"), file).unwrap();
            assert!(Dataset::from_dir(directory.path()).unwrap() == of_u8);
        }
    }
}

#[test]
fn rows_of_pixels_are_squares_where_they_can_be() {
    for (width, size) in [(4, (2, 2)), (6, (1, 6)), (1, (1, 1))] {
        let files = ["train", "test"].into_iter().flat_map(|split| {
            let images = npy_of("|u1", false, &format!("(2, {width})"), &vec![7; 2 * width]);
            let labels = npy_of("|u1", false, "(2,)", &[0, 255]);
            [
                (format!("{split}_images.npy"), images),
                (format!("{split}_labels.npy"), labels),
            ]
        });
        let Dataset { train, .. } = Dataset::from_dir(directory(files).path()).unwrap();
        assert_eq!((train.rows, train.columns), size);
        assert_eq!((train.len(), train.width()), (2, width));
    }
}

#[test]
fn headers_in_any_order_spacing_and_version_are_read() {
    let of_small = Dataset::from_dir(directory(small_npy()).path()).unwrap();
    let tight = "{\"shape\":(2,),\"descr\":\"|u1\",\"fortran_order\":False}";
    let mut second = b"\x93NUMPY\x02\x00".to_vec();
    second.extend((tight.len() as u32).to_le_bytes());
    second.extend(tight.as_bytes());
    second.extend([5, 2]);
    for file in [npy_with(tight.into(), &[5, 2]), second] {
        let directory = directory(small_npy());
        fs::write(directory.path().join("test_labels.npy"), file).unwrap();
        assert!(Dataset::from_dir(directory.path()).unwrap() == of_small);
    }
}

/// What NumPy 2.4.6 writes of the labels 5 and 2, in each of its versions; of a vector that was said to be
/// in Fortran order; and what a NumPy of Python 2 wrote.
const LABELS: [&[u8]; 5] = [
    b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }                                                            \x0a\x05\x02",
    b"\x93NUMPY\x02\x00t\x00\x00\x00{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }                                                          \x0a\x00\x05\x00\x02",
    b"\x93NUMPY\x03\x00t\x00\x00\x00{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }                                                          \x0a\x05\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00",
    b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': True, 'shape': (2,), }                                                             \x0a\x05\x02",
    b"\x93NUMPY\x01\x00F\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2L,), }           \x0a\x05\x02",
];

/// What NumPy 2.4.6 writes of the two small test images in Fortran order.
const FORTRAN: &[u8] = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2, 3), }                                                        \x0a\x00<\x1eZ\x0aF(d\x14P2n";

/// And of labels with the probability of each, as a structure.
const STRUCTURE: &[u8] = b"\x93NUMPY\x01\x00v\x00{'descr': [('class', '|u1'), ('p', '<f4')], 'fortran_order': False, 'shape': (2,), }                                 \x0a\x05\x00\x00\x00?\x02\x00\x00\xc0?";

#[test]
fn the_bytes_that_numpy_writes_are_read() {
    let of_small = Dataset::from_dir(directory(small_npy()).path()).unwrap();
    let written = LABELS.iter().map(|labels| ("test_labels.npy", *labels));
    for (name, bytes) in written.chain([("test_images.npy", FORTRAN)]) {
        let directory = directory(small_npy());
        fs::write(directory.path().join(name), bytes).unwrap();
        let loaded = Dataset::from_dir(directory.path()).unwrap();
        assert!(loaded == of_small, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_structure_is_refused_by_its_name_with_a_field_to_save() {
    let name = r#"[('class', '|u1'), ('p', '<f4')]"#;
    assert_refused!(
        npy_refusal("test_labels.npy", STRUCTURE.to_vec()),
        DataError::Type { .. },
        format!(
            "DIR/test_labels.npy: expected labels of an integer type, found type {name:?}: \
             save one of its fields, such as labels[\"class\"]"
        )
    );
}

#[test]
fn a_missing_npy_file_is_named_among_the_others() {
    let directory = directory(small_npy());
    fs::remove_file(directory.path().join("train_images.npy")).unwrap();
    assert_refused!(
        refused(directory.path()),
        DataError::MissingNpy { .. },
        "DIR: expected a file `train_images.npy` beside the other NPY files, and found none: \
         save all four, or take the others away to have IDX files read"
    );
}

#[test]
fn a_directory_under_the_name_of_an_npy_file_is_unreadable() {
    let directory = directory(small_npy().into_iter().skip(1));
    fs::create_dir(directory.path().join("train_images.npy")).unwrap();
    let (error, message) = refused(directory.path());
    assert!(matches!(error, DataError::Unreadable { .. }), "{error:?}");
    assert!(message.starts_with("DIR/train_images.npy: expected a readable file, found: "));
}

#[test]
fn files_that_are_not_npy_are_refused_by_what_they_lack() {
    let long = npy_with(" ".repeat(10_001), &[]);
    let deep = npy_with("(".repeat(9_000), &[]);
    let object = npy_with("{'descr': '|u1', 'shape': (2,), 'more': 1}".into(), &[5, 2]);
    let unclosed = "{'descr': [('a', '|u1'), 'fortran_order': False, 'shape': (2,)}";
    let vast = "{'descr': '|u1', 'fortran_order': False, 'shape': (18446744073709551616,)}";
    let start = "no magic number and version at its beginning";
    let end = "its end before that of its header";
    let odd = "a header that is not of type, order and shape";
    for (content, found) in [
        (gzip(&small_npy()[3].1), start),
        (b"\x93NUMPY\x09\x00".to_vec(), start),
        (b"\x93NUM".to_vec(), start),
        (Vec::new(), start),
        (b"\x93NUMPY\x01\x00\x76".to_vec(), end),
        (b"\x93NUMPY\x02\x00\x01\x00\x00\x00".to_vec(), end),
        (long, "a header of more than 10,000 bytes"),
        (
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "a header of more than 10,000 bytes",
        ),
        (deep, odd),
        (object, odd),
        (npy_with(unclosed.into(), &[5, 2]), odd),
        (npy_with(vast.into(), &[5, 2]), odd),
        (npy_of("|u1", false, "(-2,)", &[5, 2]), odd),
        (npy_of("|u1", false, "(2,,)", &[5, 2]), odd),
        (npy_of("|u1", false, "(L,)", &[5, 2]), odd),
        (npy_of("|u1", false, "(2LL,)", &[5, 2]), odd),
        (npy_of("\u{e9}'\u{e9}", false, "(2,)", &[5, 2]), odd),
    ] {
        assert_refused!(
            npy_refusal("test_labels.npy", content),
            DataError::Npy { .. },
            format!(
                "DIR/test_labels.npy: expected an NPY file, found {found}: \
                 write it with numpy.save"
            )
        );
    }
}

/// What NumPy makes of an operation that a refusal names, for numbers that float64 holds.
fn followed(operation: &str, images: &[f64]) -> Vec<u8> {
    let rounded = operation
        .strip_prefix("numpy.rint(")
        .and_then(|rest| rest.strip_suffix(")"));
    let (offset, factor) = match rounded {
        None => {
            assert_eq!(operation, "images");
            (0.0, 1.0)
        }
        Some("images") => (0.0, 1.0),
        Some(scaled) => {
            let (base, factor) = scaled.split_once(" * ").expect(scaled);
            let offset = base.strip_prefix("(images.astype(float) + ");
            let offset = match offset {
                Some(offset) => offset.strip_suffix(")").expect(base).parse().expect(base),
                None => {
                    assert_eq!(base, "images.astype(float)");
                    0.0
                }
            };
            let divided = factor
                .strip_prefix("(255 / ")
                .and_then(|rest| rest.strip_suffix(")"));
            let factor = match divided {
                Some(by) => 255.0 / by.parse::<f64>().expect(factor),
                None => factor.parse().expect(factor),
            };
            (offset, factor)
        }
    };
    let scaled = images.iter().map(|x| (x + offset) * factor);
    // A conversion cuts off the fraction and keeps the last eight bits.
    scaled
        .map(|x| match rounded {
            Some(_) => x.round_ties_even() as i64 as u8,
            None => x as i64 as u8,
        })
        .collect()
}

/// The operation that a refusal tells to save.
fn operation(message: &str) -> &str {
    let (_, saved) = message.split_once("save ").expect(message);
    let (operation, _) = saved.split_once(".astype(numpy.uint8)").expect(message);
    operation
}

/// Two images that reach from black to white.
const SHADES: [u8; 12] = [0, 51, 102, 127, 200, 255, 1, 254, 128, 3, 77, 180];

fn le<const N: usize>(of: impl Fn(f64) -> [u8; N], values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|x| of(*x)).collect()
}

#[test]
fn who_follows_the_advice_for_images_of_another_type_gets_the_same_images() {
    let bytes: Vec<f64> = SHADES.iter().map(|p| f64::from(*p)).collect();
    let scaled = |by: f64, off: f64| -> Vec<f64> { bytes.iter().map(|p| p * by + off).collect() };
    let (unit, wide, off) = (
        scaled(1.0 / 255.0, 0.0),
        scaled(257.0, 0.0),
        scaled(1.0, -128.0),
    );
    let standard = scaled(1.0 / 79.5, -114.8 / 79.5);
    let nearly = scaled(0.999, 0.0);
    let i16s = |values: &[f64]| le(|x| (x as i16).to_le_bytes(), values);
    // NumPy 2.4.6: (shades / 255).astype('<f2').
    let halves = b"\x00\x00f2f6\xf87F:\x00<\x04\x1c\xf8;\x048\x06\"\xd54\xa69";
    let cases: [(&str, Vec<u8>, &[f64], &str); 12] = [
        (
            "<f2",
            halves.to_vec(),
            &unit,
            "found float16 from 0 to 1: save",
        ),
        (
            "<f4",
            le(|x| (x as f32).to_le_bytes(), &unit),
            &unit,
            "found float32 from 0 to 1: save",
        ),
        (
            ">f8",
            le(f64::to_be_bytes, &unit),
            &unit,
            "found float64 from 0 to 1: save",
        ),
        (
            "<f8",
            le(f64::to_le_bytes, &bytes),
            &bytes,
            "found float64 from 0 to 255: save",
        ),
        (
            "<f8",
            le(f64::to_le_bytes, &nearly),
            &nearly,
            "if 0 is black and 255 white, save",
        ),
        (
            "<f8",
            le(f64::to_le_bytes, &standard),
            &standard,
            "training and test images by the same numbers",
        ),
        (
            "<u2",
            le(|x| (x as u16).to_le_bytes(), &wide),
            &wide,
            "if 0 is black and 65535 white, save",
        ),
        (
            ">u2",
            le(|x| (x as u16).to_be_bytes(), &wide),
            &wide,
            "found uint16 from 0 to 65535",
        ),
        (
            "<i2",
            i16s(&off),
            &off,
            "if -128 is black and 127 white, save",
        ),
        (
            "|i1",
            le(|x| (x as i8).to_le_bytes(), &off),
            &off,
            "found int8 from -128 to 127",
        ),
        (
            "<i8",
            le(|x| (x as i64).to_le_bytes(), &bytes),
            &bytes,
            "found int64 from 0 to 255: save images.astype(numpy.uint8)",
        ),
        (
            "<u4",
            le(|x| (x as u32).to_le_bytes(), &bytes),
            &bytes,
            "found uint32 from 0 to 255",
        ),
    ];
    let shades = |images: &[u8]| npy_of("|u1", false, "(2, 2, 3)", images);
    for (descr, items, values, words) in cases {
        let file = npy_of(descr, false, "(2, 2, 3)", &items);
        let (error, message) = npy_refusal("test_images.npy", file);
        assert!(matches!(error, DataError::Type { .. }), "{error:?}");
        assert!(message.contains(words), "{words:?} is not in {message}");
        let images = followed(operation(&message), values);
        assert_eq!(images, SHADES, "{descr}: {message}");
        let directory = directory(small_npy());
        fs::write(directory.path().join("test_images.npy"), shades(&images)).unwrap();
        let loaded = Dataset::from_dir(directory.path()).unwrap();
        assert_eq!(loaded.test.pixels, SHADES);
    }
    // Black and white, as booleans and as numbers.
    let masks: [(&str, usize); 3] = [("|b1", 1), ("<i4", 4), ("<i8", 8)];
    let mask: Vec<f64> = SHADES.iter().map(|p| f64::from(p % 2)).collect();
    let white: Vec<u8> = mask.iter().map(|x| 255 * *x as u8).collect();
    for (descr, size) in masks {
        let items = mask
            .iter()
            .flat_map(|x| (*x as u64).to_le_bytes()[..size].to_vec());
        let file = npy_of(descr, false, "(2, 2, 3)", &items.collect::<Vec<_>>());
        let (_, message) = npy_refusal("test_images.npy", file);
        assert_eq!(followed(operation(&message), &mask), white, "{message}");
    }
    // The same advice for the floats of an IDX file.
    let floats = le(|x| (x as f32).to_be_bytes(), &unit);
    let (error, message) = refusal(TEST_IMAGES, idx(&[0xd03, 2, 2, 3], &floats));
    assert!(matches!(error, DataError::Type { .. }), "{error:?}");
    assert!(message.contains("found float32 from 0 to 1"), "{message}");
    assert_eq!(followed(operation(&message), &unit), SHADES);
}

#[test]
fn images_that_no_operation_brings_back_are_told_no_operation() {
    let holes = [0.5f32, f32::NAN, 1.0, f32::INFINITY, 0.0, 0.0];
    let holes: Vec<u8> = [holes, [0.0; 6]]
        .concat()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let objects = npy_of("|O", false, "(2, 2, 3)", &[0; 12]);
    let complex = npy_of("<c8", false, "(2, 2, 3)", &[0; 96]);
    let flat = npy_of("<i2", false, "(2, 2, 3)", &[7; 24]);
    for (file, words) in [
        (
            npy_of("<f4", false, "(2, 2, 3)", &holes),
            "found float32, 2 of them not finite: put pixels in their place before anything else",
        ),
        (
            objects,
            "found type \"|O\": these are Python's objects: save numpy.array(images.tolist())",
        ),
        (
            complex,
            "found type \"<c8\": save a number from 0 to 255 for each pixel",
        ),
        (
            flat,
            "found int16 from 1799 to 1799: save images that show something",
        ),
    ] {
        let message = format!("DIR/test_images.npy: expected images of uint8, {words}");
        assert_refused!(
            npy_refusal("test_images.npy", file),
            DataError::Type { .. },
            message
        );
    }
    // What the file lacks comes first.
    let (error, _) = npy_refusal(
        "test_images.npy",
        npy_of("<f4", false, "(2, 2, 3)", &[0; 47]),
    );
    assert!(
        matches!(
            error,
            DataError::Truncated {
                expected: 176,
                found: 175,
                ..
            }
        ),
        "{error:?}"
    );
    let (error, _) = npy_refusal(
        "test_images.npy",
        npy_of("<f4", false, "(2, 2, 3)", &[0; 49]),
    );
    assert!(
        matches!(
            error,
            DataError::Oversized {
                expected: 176,
                found: 177,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn who_follows_the_advice_for_labels_of_another_kind_keeps_the_classes() {
    const NUMBERED: &str =
        "save numpy.searchsorted(numpy.unique([*train_labels, *test_labels]), labels)";
    let f8 = |values: [f64; 2]| values.map(f64::to_le_bytes).concat();
    let i2 = |values: [i16; 2]| values.map(i16::to_le_bytes).concat();
    // Type, bytes, values, and whether they need no other numbers.
    for (descr, items, values, same) in [
        ("<f8", f8([5.0, 2.0]), [5.0, 2.0], true),
        ("|b1", vec![1, 0], [1.0, 0.0], true),
        ("<f8", f8([0.5, 1.5]), [0.5, 1.5], false),
        ("<f8", f8([-1.0, 1.0]), [-1.0, 1.0], false),
        ("<f8", f8([5.0, 256.0]), [5.0, 256.0], false),
        ("<i2", i2([1, -1]), [1.0, -1.0], false),
        ("<i2", i2([1000, 7]), [1000.0, 7.0], false),
    ] {
        let (_, message) = npy_refusal("test_labels.npy", npy_of(descr, false, "(2,)", &items));
        let labels = if same {
            assert!(
                message.ends_with(": save labels.astype(numpy.uint8)"),
                "{message}"
            );
            values.map(|x| x as u8)
        } else {
            assert!(message.contains(NUMBERED), "{message}");
            let mut all = [&[0.0, 4.0, 1.0], &values[..]].concat();
            all.sort_by(f64::total_cmp);
            all.dedup();
            // What searchsorted finds: how many are less.
            values.map(|x| all.iter().filter(|y| **y < x).count() as u8)
        };
        let directory = directory(small_npy());
        let file = npy_of("|u1", false, "(2,)", &labels);
        fs::write(directory.path().join("test_labels.npy"), file).unwrap();
        let loaded = Dataset::from_dir(directory.path()).unwrap();
        assert_eq!(loaded.test.labels, labels);
        assert_ne!(labels[0], labels[1], "two classes became one");
    }
    for (descr, shape, items, words) in [
        ("<U1", "(2,)", vec![98, 0, 0, 0, 97, 0, 0, 0], NUMBERED),
        ("<M8[s]", "(2,)", vec![0; 16], NUMBERED),
        (
            "<f8",
            "(2,)",
            f8([f64::NAN, 1.0]),
            "1 of them not finite: leave out the examples",
        ),
        (
            "<f4",
            "(2, 10)",
            vec![0; 80],
            "if each row has one at its class, save labels.argmax(axis=1)",
        ),
        ("|u1", "(2, 1)", vec![5, 2], "save labels.ravel()"),
    ] {
        let (_, message) = npy_refusal("test_labels.npy", npy_of(descr, false, shape, &items));
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
    // Labels of wider integers are labels, in IDX as in NPY.
    let loaded = {
        let directory = directory(small());
        let wide = idx(&[0xc01, 2, 5, 2], &[]);
        fs::write(directory.path().join(TEST_LABELS), wide).unwrap();
        Dataset::from_dir(directory.path()).unwrap()
    };
    assert_eq!(loaded.test.labels, [5, 2]);
}

#[test]
fn npy_shapes_that_are_none_or_fit_nowhere_are_refused() {
    let max = u64::MAX;
    let shapes = [
        vec![],
        vec![12],
        vec![2, 1, 2, 3],
        vec![2, 0, 3],
        vec![2, 0],
        vec![max, max, max],
        vec![1, 1, max],
        vec![1 << 32, 1, 1],
    ];
    for shape in shapes {
        let numbers: String = shape.iter().map(|n| format!("{n}, ")).collect();
        assert_refused!(
            npy_refusal(
                "test_images.npy",
                npy_of("|u1", false, &format!("({numbers})"), &[0; 12])
            ),
            DataError::Shape { .. },
            format!(
                "DIR/test_images.npy: expected images of shape (n, rows, columns) or (n, width) \
                 that fit in memory, found shape {shape:?}: save {}",
                match shape.len() {
                    3.. => "images.reshape(len(images), -1)",
                    _ => "an array of such a shape",
                }
            )
        );
    }
    // The labels alone would fit, their bytes do not.
    for (descr, shape, advice) in [
        ("<i8", vec![max / 4], "an array of such a shape"),
        ("|u1", vec![2, 1], "labels.ravel()"),
    ] {
        let numbers: String = shape.iter().map(|n| format!("{n}, ")).collect();
        assert_refused!(
            npy_refusal(
                "test_labels.npy",
                npy_of(descr, false, &format!("({numbers})"), &[5, 2])
            ),
            DataError::Shape { .. },
            format!(
                "DIR/test_labels.npy: expected labels of shape (n,) that fit in memory, \
                 found shape {shape:?}: save {advice}"
            )
        );
    }
}

#[test]
fn npy_labels_that_are_no_bytes_are_refused_with_their_place() {
    for (descr, payload, found) in [
        ("<i2", [5i16, -1].map(i16::to_le_bytes).concat(), "-1"),
        (">i2", [5i16, 256].map(i16::to_be_bytes).concat(), "256"),
        ("|i1", vec![5, 0x80], "-128"),
        (
            "<u8",
            [5, u64::MAX].map(u64::to_le_bytes).concat(),
            "18446744073709551615",
        ),
        (
            "<i8",
            [5, i64::MIN].map(i64::to_le_bytes).concat(),
            "-9223372036854775808",
        ),
    ] {
        assert_refused!(
            npy_refusal("test_labels.npy", npy_of(descr, false, "(2,)", &payload)),
            DataError::Label { place: 1, .. },
            format!(
                "DIR/test_labels.npy: expected labels from 0 to 255, found {found} at position 1: \
                 save numpy.searchsorted(numpy.unique([*train_labels, *test_labels]), labels)"
            )
        );
    }
}

#[test]
fn npy_of_no_images_is_refused() {
    assert_refused!(
        npy_refusal("train_images.npy", npy_of("|u1", false, "(0, 28, 28)", &[])),
        DataError::Empty { .. },
        "DIR/train_images.npy: expected at least one of its images, found none: \
         use a dataset with examples"
    );
}

#[test]
fn npy_files_that_do_not_belong_together_are_refused() {
    assert_refused!(
        npy_refusal("test_labels.npy", npy_of("|u1", false, "(3,)", &[0, 1, 2])),
        DataError::Counts {
            images: 2,
            labels: 3,
            ..
        },
        "DIR/test_labels.npy: expected 2 labels, one for each image of \
         DIR/test_images.npy, found 3: take both files from the same dataset"
    );
    let (error, _) = npy_refusal(
        "test_images.npy",
        npy_of("|u1", false, "(2, 3, 2)", &[0; 12]),
    );
    assert!(matches!(error, DataError::Sizes { .. }), "{error:?}");
}

#[test]
fn an_npy_file_cut_anywhere_is_refused_and_so_is_one_with_more() {
    for (name, whole) in small_npy() {
        for len in 0..whole.len() {
            let (error, _) = npy_refusal(name, whole[..len].to_vec());
            let (all, len) = (whole.len() as u64, len as u64);
            match error {
                DataError::Npy { .. } => assert!(len < 128, "{len}"),
                DataError::Truncated {
                    expected, found, ..
                } => {
                    assert_eq!((expected, found), (all, len));
                }
                error => panic!("{error:?}"),
            }
        }
        let (error, _) = npy_refusal(name, [&whole[..], &[0]].concat());
        assert!(
            matches!(error, DataError::Oversized { expected, found, .. }
                if found == expected + 1 && expected == whole.len() as u64),
            "{error:?}"
        );
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn an_npy_header_that_promises_terabytes_is_refused_without_allocating() {
    let promise = npy_of("|u1", false, "(4294967295, 65535, 65535)", &[7; 4]);
    assert_refused!(
        npy_refusal("train_images.npy", promise),
        DataError::Truncated { .. },
        "DIR/train_images.npy: expected 18446181123756261503 bytes, found 132: \
         truncated, fetch the file again"
    );
}

#[test]
fn no_single_damaged_byte_of_npy_makes_the_loader_panic() {
    for (name, whole) in small_npy() {
        let directory = directory(small_npy());
        for place in 0..whole.len() {
            for damage in [0xff, 0x01, 0x08, 0x10] {
                let mut damaged = whole.clone();
                damaged[place] ^= damage;
                fs::write(directory.path().join(name), damaged).unwrap();
                let _ = Dataset::from_dir(directory.path());
            }
        }
        fs::write(directory.path().join(name), whole).unwrap();
    }
}

/// Of 30 bytes, found by fuzzing: the header that they claim to have is 1.9 GB long.
#[test]
fn a_file_of_hyperparameters_claims_no_memory_that_it_does_not_hold() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hyper.npy");
    let refused = |bytes: &[u8], words: &str| {
        fs::write(&file, bytes).unwrap();
        let error = drmad_host::data::npy::read(&file).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.starts_with("cannot read numbers from ") && text.contains(words),
            "{text}"
        );
    };
    let mut found = b"\x93NUMPY\x03\x00\x00\x00\x00\x73".to_vec();
    found.extend(b"\x00\x00\x00\x00 1\x00\x00\x00\x00\x00\x00\x80?,");
    refused(&found, "a header of more than 10,000 bytes");
    let header = |text: &str| {
        let length = (text.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", &length[..], text.as_bytes()].concat()
    };
    let of = |descr: &str, shape: &str| {
        header(&format!(
            "{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
        ))
    };
    refused(
        &of("<f4", "(4611686018427387904,)"),
        "more than there can be",
    );
    refused(&of("<f4", "(1000000000000,)"), "truncated");
    refused(&of("<f8", "(0,)"), "expected float32, found type \"<f8\"");
    refused(
        &of("<c8", "(0,)"),
        "expected float32, found type \"<c8\": save numbers of that type",
    );
    // The first index runs fastest.
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (2L, 3L), }";
    let mut fortran = header(fortran);
    fortran.extend(
        [1f32, 4.0, 2.0, 5.0, 3.0, 6.0]
            .map(f32::to_le_bytes)
            .concat(),
    );
    fs::write(&file, fortran).unwrap();
    let numbers = drmad_host::data::npy::read(&file).unwrap();
    assert_eq!(numbers, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let mut good = of(">f4", "(1, 2)");
    good.extend([0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0]);
    fs::write(&file, good).unwrap();
    assert_eq!(drmad_host::data::npy::read(&file).unwrap(), [1.0, -2.0]);
}
