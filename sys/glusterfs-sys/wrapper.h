/* What gluster-bd needs of libglusterfs. */
#include <glusterfs/glusterfs.h>
#include <glusterfs/xlator.h>
#include <glusterfs/stack.h>
#include <glusterfs/defaults.h>
#include <glusterfs/dict.h>
#include <glusterfs/inode.h>
#include <glusterfs/fd.h>
#include <glusterfs/iobuf.h>
#include <glusterfs/gf-dirent.h>
#include <glusterfs/mem-pool.h>
#include <glusterfs/mem-types.h>
#include <glusterfs/logging.h>
#include <glusterfs/options.h>
#include <glusterfs/checksum.h>
#include <glusterfs/globals.h>
