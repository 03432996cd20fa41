//! Programs end on images as they do on plain files, and leave the same bytes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use loopdev::{Bed, cmd};

use crate::images::tools::sh_in;

/// What a program is to do, told by a line of bash. `$E` has files to copy, `$M` is a folder to mount on,
/// `$OTHER` the same directory in another mount.
type Line = (&'static str, &'static str);

/// Programs that read and write disks.
const OF_DISKS: &[Line] = &[
    (
        "fio",
        r#"jobs=; number=0
           job() { number=$((number + 1)); jobs="$jobs --name=j$number --filename=j$number $*"; }
           for engine in sync psync pvsync2 libaio posixaio io_uring mmap splice; do
             job --ioengine=$engine --direct=0; job --ioengine=$engine --direct=1
           done
           for how in "--fsync=4 --rw=write" --sync=1 --bs=512 --bsrange=1k-64k "--bs_unaligned=1 --bsrange=100-5000" \
             --fallocate=keep --overwrite=1 --rw=randrw; do
             job --ioengine=psync $how
           done
           fio --size=256k --bs=4k --rw=randwrite --iodepth=8 --end_fsync=1 --verify=crc32c --verify_state_save=0 \
             --output=/dev/null $jobs; stat -c '%n %s' j* | sort"#,
    ),
    (
        "qemu-img convert",
        r"for format in raw qcow2; do for how in 'off none' 'falloc writeback' 'full none'; do set -- $how
             qemu-img convert -q -f raw -O $format -o preallocation=$1 -t $2 -T $2 $E/s i
             qemu-img compare -q -f raw -F $format $E/s i; test $format = raw || qemu-img check -q i; rm i
           done; done
           for format in vmdk; do
             qemu-img convert -q -O $format $E/s i; qemu-img compare -q -f raw -F $format $E/s i
           done",
    ),
    (
        "qemu-img with backing files",
        r"qemu-img convert -q -O qcow2 $E/s base; qemu-img create -q -f qcow2 -b base -F qcow2 top
           qemu-io -c 'write -P 7 1M 128k' -c 'write -z 4M 256k' -c 'discard 5M 256k' top > /dev/null
           qemu-img convert -q -O raw top before; qemu-img map --output=json top | wc -l
           qemu-img convert -q -O qcow2 $E/r other; qemu-img rebase -q -b other -F qcow2 top
           qemu-img compare -q before top; qemu-img rebase -q -b base -F qcow2 top
           qemu-img commit -q -d top; qemu-img compare -q before base
           qemu-img snapshot -c a base; qemu-io -c 'write -P 3 0 64k' base > /dev/null
           qemu-img snapshot -a a base; qemu-img compare -q before base",
    ),
    (
        "qemu-img resize",
        r"for format in raw qcow2; do
             qemu-img create -q -f $format i 4M; qemu-img resize -q -f $format i 9M
             qemu-img resize -q -f $format --shrink i 3M
             for how in falloc full; do
               qemu-img resize -q -f $format --preallocation=$how i +2M; qemu-img info --output=json i | grep virtual
             done; rm i
           done; qemu-img dd -f raw -O raw bs=64k if=$E/s of=i; cmp i $E/s",
    ),
    (
        "loop devices",
        r"for how in 'on ext4' 'off xfs'; do set -- $how
             truncate -s 320M disk; loop=$(losetup --direct-io=$1 --show -f disk); trap 'losetup -d $loop' EXIT
             mkfs.$2 -q $loop; mount $loop $M; cp $E/r $E/s $M; sync -f $M; fstrim $M; umount $M
             mount $loop $M; cmp $M/r $E/r; cmp $M/s $E/s; rm $M/s; umount $M
             case $2 in ext4) fsck.ext4 -fn $loop > /dev/null 2>&1 ;; xfs) xfs_repair -n $loop > /dev/null 2>&1 ;; esac
             truncate -s 400M disk; losetup -c $loop; blockdev --getsize64 $loop
             losetup -d $loop; trap - EXIT; rm disk
           done",
    ),
];

/// Programs that read and write files.
const OF_FILES: &[Line] = &[
    (
        "memory that processes and clients share",
        r"/usr/bin/python3 -c '
import mmap, os, sys
fd = os.open(`file`, os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 1 << 20)
memory = mmap.mmap(fd, 1 << 20)
for child in range(4):
    if os.fork() == 0:
        for at in range(child * 4096, 1 << 20, 4 * 4096):
            memory[at:at + 4096] = bytes([child + 1]) * 4096
        memory.flush()
        os._exit(0)
for child in range(4):
    assert os.wait()[1] == 0
expected = b``.join(bytes([child + 1]) * 4096 for child in range(4)) * 64
assert open(`file`, `rb`).read() == expected
os.fsync(fd)
other = mmap.mmap(os.open(sys.argv[1] + `/file`, os.O_RDONLY), 1 << 20, prot=mmap.PROT_READ)
assert other[:] == expected
copy = mmap.mmap(fd, 4096, flags=mmap.MAP_PRIVATE)
copy[0:3] = b`xyz`
assert memory[0] == 1
' $OTHER; md5sum < file",
    ),
    (
        "locks",
        r"touch lock; flock lock true; (flock -n 9; no flock -n lock true; no flock -n $OTHER/lock true) 9< lock
           /usr/bin/python3 -c '
import fcntl, os, sys
held = open(`lock`, `r+b`)
fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
if os.fork() == 0:
    for path in (`lock`, sys.argv[1] + `/lock`):
        mine = open(path, `r+b`)
        try:
            fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)
            print(`got`)
        except OSError as error:
            print(error.errno)
    fcntl.lockf(open(`lock`, `r+b`), fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)
    print(`beside`, flush=True)
    os._exit(0)
os.wait()
' $OTHER",
    ),
    (
        "sqlite",
        r#"fill='create table t(x); with recursive c(i) as (select 1 union all select i+1 from c where i<2000) insert into t select i from c'
           for mode in wal delete truncate persist; do
             sqlite3 db-$mode "pragma journal_mode=$mode; $fill; vacuum"
             sqlite3 db-$mode 'select sum(x) from t; pragma integrity_check'
           done"#,
    ),
    (
        "rsync",
        r"rsync -a $E/ t
           for how in -a '-aX --inplace' '-a --sparse' '-a -c --delete --backup'; do
             printf changed | dd of=t/r conv=notrunc status=none; truncate -s 2M t/s; echo > t/more
             rsync $how $E/ t; rsync -ain $E/ t; cmp t/r $E/r; cmp t/s $E/s; stat -c '%n %a %Y %s' t/[rs]
           done; ls t",
    ),
    (
        "tar, cp and dd",
        r"mkdir t; for how in '' S; do tar c${how}f $E.tar -C $E .; tar x${how}pf $E.tar -C t; diff -r $E t; done
           stat -c '%n %a %Y' t/* | sort
           for how in sparse fsync 'notrunc oflag=direct' 'notrunc iflag=direct' 'notrunc oflag=append'; do
             dd if=$E/s of=i bs=256k conv=$how status=none; cmp i $E/s; rm i
           done
           cp --reflink=always $E/s i 2>/dev/null || echo no reflink
           rm -f i; cp $E/s i; cp --reflink=auto i j; cp -b i j; cp --remove-destination i j; cmp i j; ls",
    ),
];

/// One line in one directory: how it has ended, and what it has said.
fn end_of(line: &str, dir: &Path, elsewhere: &Path, other: &Path) -> Result<String> {
    let script = format!(
        "set -euo pipefail\nno() {{ ! \"$@\"; }}\ncd '{}'\nexport E={2}/files M={2}/mount OTHER={3} HOME={2}\n{1}",
        dir.display(),
        line.replace('`', "\""),
        elsewhere.display(),
        other.display(),
    );
    let output = cmd("bash", &["-c", &script])?;
    Ok(format!(
        "{} {}\n{}",
        output.code, output.stdout, output.stderr
    ))
}

pub(crate) fn programs_of_disks(bed: &mut Bed<'_>) -> Result<()> {
    end_alike(bed, OF_DISKS)
}

pub(crate) fn programs_of_files(bed: &mut Bed<'_>) -> Result<()> {
    end_alike(bed, OF_FILES)
}

/// In a plain directory, in an image directory, and in one where `ln` makes second names.
fn end_alike(bed: &mut Bed<'_>, lines: &[Line]) -> Result<()> {
    let elsewhere = bed.rig.folder("alike")?;
    sh_in(
        &elsewhere,
        "mkdir files mount; head -c 3000000 /dev/urandom > files/r; truncate -s 6M files/s; \
         dd if=files/r of=files/s bs=64k seek=40 conv=notrunc status=none; \
         chmod 640 files/r; touch -d 2001-02-03 files/*; touch -d 2001-02-03 files",
    )?;
    let mount = bed.another_mount(&[])?;
    let names = ["plain", "images", "links"];
    let dirs: Vec<PathBuf> = [bed.root().to_owned(), bed.images(), bed.images()]
        .into_iter()
        .zip(names)
        .map(|(above, name)| above.join(name))
        .collect();
    for dir in &dirs {
        std::fs::create_dir(dir)?;
    }
    let policy = "setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink links";
    sh_in(&bed.images(), policy)?;
    for (name, line) in lines {
        let begun = Instant::now();
        let mut ends = Vec::new();
        for dir in &dirs {
            let other = mount.join(dir.strip_prefix(bed.root())?);
            ends.push(end_of(line, dir, &elsewhere, &other)?);
            sh_in(dir, "find . -mindepth 1 -delete")?;
        }
        ensure!(ends[0].starts_with("0 "), "{name}: {}", ends[0]);
        for (end, kind) in ends.iter().zip(names) {
            ensure!(
                *end == ends[0],
                "{name}, {kind}: {end}instead of\n{}",
                ends[0]
            );
        }
        println!("measured: {name} {:.1} s", begun.elapsed().as_secs_f32());
    }
    for dir in dirs {
        std::fs::remove_dir(&dir).with_context(|| dir.display().to_string())?;
    }
    Ok(())
}
