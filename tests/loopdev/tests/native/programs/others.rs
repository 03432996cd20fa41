//! Other people's programs, which know nothing of images.

use anyhow::Result;
use loopdev::Bed;

use crate::images::tools::sh_in;

/// Programs that make links on the way to something else: `ln -f` by way of a temporary name, archives and
/// mirrors of hard links and symbolic links.
pub(crate) fn make_links(bed: &mut Bed<'_>) -> Result<()> {
    let elsewhere = bed.rig.folder("elsewhere")?;
    sh_in(
        &elsewhere,
        "head -c 3M /dev/urandom > a; head -c 700K /dev/urandom > other; ln a b; ln -s a c; \
         ln -s nowhere d; tar cf ../links.tar .",
    )?;
    let line = r#"
        cp $E/a a; cp $E/other b; ln -f a b; echo x > c; ln -sf a c; cp -l a d; link a e
        cp $E/other a; for n in b c d e; do cmp $n $E/a; test ! -L $n; done
        ln -sf "$PWD/a" c; cmp c $E/other; cp -s a f; cmp f $E/other; test ! -L f
        rm *; cp $E/a a; cp $E/other b
        mv -n a b || true; cmp a $E/a; mv -b a b; cmp b $E/a; cmp b~ $E/other
        rm *; tar xf $E/../links.tar; for n in a b c; do cmp $n $E/a; done; test -L d
        rsync -aH $E/ r/; cmp r/b $E/a; cp -a $E s; cmp s/b $E/a; cmp s/c $E/a
        rm -r *
    "#;
    sh_in(
        &bed.images(),
        &format!("export E={}\n{line}", elsewhere.display()),
    )
    .map(drop)
}

/// What archives and repositories make of links. tar gives all that it has made of a symbolic link the mode of
/// that, 0777; and to a further name of a file nothing at all, as it takes it for the same file.
pub(crate) fn unpack_links(bed: &mut Bed<'_>) -> Result<()> {
    let elsewhere = bed.rig.folder("archived")?;
    sh_in(
        &elsewhere,
        "echo a > a; chmod 640 a; touch -d 2001-02-03 a; ln -s a c; ln -s gone d; tar cf ../a.tar a c d;          ln a b; tar cf ../b.tar a b; mkdir g; cd g; export HOME=$PWD; git init -q .; cp ../a .; git add .;          git -c user.name=a -c user.email=b commit -qm x",
    )?;
    let line = r#"
        tar xpf $E/../a.tar; cmp c $E/a; test ! -L c; test "$(stat -c %a a c)" = "640
777"; test "$(readlink d)" = gone
        rm *; umask 027; tar xf $E/../a.tar --no-same-permissions; cmp c $E/a; test "$(stat -c %a a c)" = "640
750"
        rm *; tar xpf $E/../b.tar; cmp b $E/a; test $(date -r a +%Y) = 2001; test $(date -r b +%Y) != 2001; rm *
        mkdir l; setfattr -n user.glusterfs.bd.dir -v thin,link=hardlink l
        tar xpf $E/../b.tar -C l; test l/a -ef l/b; test $(date -r l/b +%Y) = 2001
        tar xpf $E/../a.tar -C l; test -L l/c; git clone -q $E/g l/h; cmp l/h/a $E/a
        cp -a $E/g g; if git clone -q g h 2> l/said; then exit 1; fi; grep -q 'hardlink different' l/said
        test ! -e h; git clone -q --no-hardlinks g h; cmp h/a $E/a
        rm -r *
    "#;
    sh_in(
        &bed.images(),
        &format!(
            "export E={} HOME=/nowhere
{line}",
            elsewhere.display()
        ),
    )
    .map(drop)
}

/// Copies with holes, in place, by appending and by descriptors of all kinds hold what they copy.
pub(crate) fn copy_with_holes(bed: &mut Bed<'_>) -> Result<()> {
    let elsewhere = bed.rig.folder("holes")?;
    sh_in(
        &elsewhere,
        "head -c 3000000 /dev/urandom > r; truncate -s 9M s; \
         dd if=r of=s bs=64k seek=40 conv=notrunc status=none",
    )?;
    let line = r#"
        cp --sparse=always $E/s a; cp --sparse=always a b; cp --sparse=never a c; cp --reflink=auto a d
        dd if=$E/s of=e bs=64k conv=sparse status=none; truncate -s 9M e
        for n in a b c d e; do cmp $n $E/s; done
        tar cSf $E/t.tar a; rm a; tar xSf $E/t.tar; cmp a $E/s; echo b | cpio -o -H newc > $E/c 2>/dev/null
        rm b; cpio -i --sparse < $E/c 2>/dev/null; cmp b $E/s
        cp $E/r x; dd if=/dev/zero of=x bs=64k count=5 conv=sparse,notrunc status=none; cmp x $E/r
        for how in -S --inplace "-S --inplace" --append-verify --preallocate; do
            cp $E/r y; rsync -a $how $E/s y; cmp y $E/s
        done
        fallocate -d a; cmp a $E/s; fallocate -x -l 12M x; cmp -n 3000000 x $E/r
        rm *
    "#;
    sh_in(
        &bed.images(),
        &format!("export E={}\n{line}", elsewhere.display()),
    )
    .map(drop)
}
