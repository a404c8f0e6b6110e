// The scripts that shells load. Each asks the program itself, so that they never grow old. What comes back is offered
// as words and never evaluated.

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

// The last line that `__complete` prints when the shell should offer files.
export const FILES_MARK = ':files'

const BASH = `# bash completion for bothy. Load it with:  source <(bothy completion bash)
_bothy() {
  local line
  local -a found=()
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == '${FILES_MARK}' ]]; then compopt -o default; return; fi
    [[ $line == "\${COMP_WORDS[COMP_CWORD]}"* ]] && found+=("$line")
  done < <("\${COMP_WORDS[0]}" __complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=("\${found[@]}")
}
complete -F _bothy bothy
`

const ZSH = `#compdef bothy
# zsh completion for bothy. Load it with:  source <(bothy completion zsh)
_bothy() {
  local -a found
  found=("\${(@f)$("\${words[1]}" __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ \${found[-1]} == '${FILES_MARK}' ]]; then
    _files
  else
    compadd -- "\${(@)found:#}"
  fi
}
if [[ \${funcstack[1]} == _bothy ]]; then _bothy; else compdef _bothy bothy; fi
`

const FISH = `# fish completion for bothy. Load it with:  bothy completion fish | source
function __bothy_complete
  set -l words (commandline -opc)
  set -l found (bothy __complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
  if test "$found[-1]" = '${FILES_MARK}'
    __fish_complete_path (commandline -ct)
  else
    printf '%s\\n' $found
  end
end
complete -c bothy -f -a '(__bothy_complete)'
`

export function completionScript(shell: Shell): string {
  return { bash: BASH, zsh: ZSH, fish: FISH }[shell]
}
