/** Exit codes of the script, for endings that it can tell by itself; every other code is git's. */
export const EXITS = { noSpace: 75, noSuchRef: 76, directoryTaken: 77 } as const

/**
 * The whole job as a fixed text: values come in as positional parameters and are never parts of a command line that a
 * shell reads. Clones beside the target and renames at the end, so that a target is always a complete clone: one found
 * there is left alone, a partial one is begun again.
 *
 * 1 workspaces folder  2 directory  3 URL or bundle  4 ref or ''  5 depth, 0 for all  6 'git' or 'bundle'  7 origin or ''
 */
export const CLONE_SCRIPT = `
set -eu
umask 022
workspaces=$1 directory=$2 source=$3 ref=$4 depth=$5 kind=$6 origin=$7
target=$workspaces/$directory
partial=$workspaces/.$directory.partial

note() { printf 'note: %s\\n' "$1" >&2; }

is_commit() {
  case $1 in *[!0-9a-f]*) return 1 ;; esac
  [ \${#1} -eq 40 ] || [ \${#1} -eq 64 ]
}

# Why did it fail? What can be asked is asked, the rest is left to git's words.
explain() {
  code=$1
  if ! dd if=/dev/zero of="$workspaces/.space.partial" bs=65536 count=16 conv=fsync 2>/dev/null; then
    code=${EXITS.noSpace}
  elif [ "$kind" = git ] && [ -n "$ref" ] && ! is_commit "$ref"; then
    asked=0
    case $ref in refs/*) set -- "$ref" ;; *) set -- "refs/heads/$ref" "refs/tags/$ref" ;; esac
    git ls-remote --quiet --exit-code -- "$source" "$@" >/dev/null 2>&1 || asked=$?
    # git's own code for 'reached, and no such ref'.
    if [ "$asked" -eq 2 ]; then code=${EXITS.noSuchRef}; fi
  fi
  rm -f -- "$workspaces/.space.partial"
  rm -rf -- "$partial"
  exit "$code"
}

report() {
  commit=$(git -C "$target" rev-parse --verify --quiet 'HEAD^{commit}') ||
    commit=0000000000000000000000000000000000000000
  branch=$(git -C "$target" symbolic-ref --quiet --short HEAD) || branch=
  # Names that JSON would have to escape are left out rather than escaped by hand.
  case $branch in *[!A-Za-z0-9._/+@#=,-]*) branch= ;; esac
  if [ -n "$branch" ]; then
    printf '{"directory":"%s","commit":"%s","branch":"%s"}\\n' "$directory" "$commit" "$branch"
  else
    printf '{"directory":"%s","commit":"%s"}\\n' "$directory" "$commit"
  fi
}

# One commit, or a full ref name: clone takes neither. Servers may refuse to send a commit that no ref points to;
# then everything is fetched and the commit looked for.
fetch_exactly() {
  git init --quiet -- "$partial" || return
  git -C "$partial" remote add origin "$source" || return
  if ! git -C "$partial" fetch --progress "$@" origin "$ref"; then
    is_commit "$ref" || return 128
    note 'the server does not send single commits: fetching all branches'
    git -C "$partial" fetch --progress --tags origin || return
    git -C "$partial" cat-file -e "$ref^{commit}" 2>/dev/null || return ${EXITS.noSuchRef}
    git -C "$partial" checkout --quiet --detach "$ref" --
    return
  fi
  git -C "$partial" checkout --quiet --detach FETCH_HEAD --
}

clone() {
  case $ref in refs/*) fetch_exactly "$@"; return ;; esac
  if [ -n "$ref" ] && is_commit "$ref"; then fetch_exactly "$@"; return; fi
  if [ -n "$ref" ]; then set -- "$@" --branch "$ref"; fi
  git clone --progress "$@" -- "$source" "$partial" || return
  # A shallow clone follows one branch only; later fetches are the user's and should see all.
  git -C "$partial" config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
}

unbundle() {
  # Looked up in the bundle, for clone takes branches and tags only.
  git clone --no-checkout --progress -- "$source" "$partial" || return
  git -C "$partial" fetch --quiet --update-head-ok -- "$source" 'refs/heads/*:refs/heads/*' 'refs/tags/*:refs/tags/*' ||
    return
  case $ref in -*) return ${EXITS.noSuchRef} ;; '') ref=HEAD ;; esac
  if ! git -C "$partial" rev-parse --verify --quiet "$ref^{commit}" >/dev/null; then return ${EXITS.noSuchRef}; fi
  if [ "$ref" = HEAD ]; then
    git -C "$partial" reset --quiet --hard || return
  else
    git -C "$partial" checkout --quiet "$ref" -- || return
  fi
  if [ -n "$origin" ]; then
    git -C "$partial" remote set-url origin "$origin"
  else
    git -C "$partial" remote remove origin
  fi
}

if [ -e "$target" ] || [ -L "$target" ]; then
  if [ -d "$target/.git" ]; then report; exit 0; fi
  # An empty folder is replaced by the clone.
  if ! rmdir -- "$target" 2>/dev/null; then exit ${EXITS.directoryTaken}; fi
fi
rm -rf -- "$partial"
set --
if [ "$kind" = git ] && [ "$depth" -gt 0 ]; then set -- --depth "$depth"; fi
if [ "$kind" = git ]; then clone "$@" || explain $?; else unbundle || explain $?; fi
if [ -f "$partial/.gitmodules" ]; then note 'submodules are not fetched; run git submodule update --init'; fi
if grep -qs 'filter=lfs' "$partial/.gitattributes"; then note 'LFS files are not fetched; run git lfs pull'; fi
mv -T -- "$partial" "$target"
report
`
