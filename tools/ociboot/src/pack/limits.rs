//! Every limit on what is read, with its reason: an archive that asks for more is
//! refused, whatever it says about itself. Nobody's image comes near them.

/// Entries of all trees. The largest images on public registries have about a
/// million; each costs some 300 bytes of memory here.
pub const ENTRIES: u64 = 1 << 22;
/// Bytes of all layers, unpacked, on their way into the temporary file; and of all
/// files of one output, holes included. A guest would need as much memory.
pub const UNPACKED: u64 = 32 << 30;
/// Bytes of one file in an initramfs: newc has eight hexadecimal digits for it.
pub const CPIO_FILE: u64 = u32::MAX as u64;
/// Bytes of one name: the kernel's NAME_MAX.
pub const NAME: usize = 255;
/// Bytes of a path or of a symbolic link's target: the kernel's PATH_MAX, less the
/// NUL. Unpacking an initramfs, the kernel passes over longer ones without a word.
pub const PATH: usize = 4095;
/// Folders within folders: as many as a path of that length can name.
pub const DEPTH: usize = PATH / 2;
/// Symbolic links followed on the way to one file: the kernel's MAXSYMLINKS.
pub const SYMLINKS: usize = 40;
/// Bytes of one entry's PAX records: they may hold extended attributes of 64 KiB,
/// the most that Linux keeps for one file in most file systems.
pub const PAX: u64 = 1 << 20;
/// Pieces of a sparse file. Each is 16 bytes here, and a block to be read there.
pub const SPARSE_PIECES: usize = 1 << 20;
/// Bytes of one extended attribute's value: the kernel's XATTR_SIZE_MAX.
pub const XATTR_VALUE: usize = 1 << 16;
/// Layers of an image. Overlay file systems take 500, Docker makes up to 127.
pub const LAYERS: usize = 512;
/// Indexes within indexes: one for the platforms, one more to be tolerant.
pub const INDEX_DEPTH: usize = 4;
/// Bytes of an image's index, manifest or configuration: what registries take for
/// a manifest is 4 MiB.
pub const IMAGE_JSON: u64 = 4 << 20;
/// Bytes of a config.json: as many as ocinit reads.
pub const CONFIG_JSON: u64 = 1 << 20;
/// Bytes of /ocinit/args, env and artifacts, each: as many as ocinit reads.
pub const BOOT_FILE: usize = 128 << 10;
/// Bytes of the image's /etc/passwd and /etc/group. Large sites' have a megabyte.
pub const PASSWD: u64 = 8 << 20;
/// Bytes of the binary that becomes /init, which has 0.1 MiB.
pub const INIT: u64 = 64 << 20;
