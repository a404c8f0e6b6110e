// What a server or an environment says is hostile: a terminal would obey it. Everything printed for people passes here.

// C0 but for tab and line feed, DEL, C1, and the marks that change the direction or the lines of what is read.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** `text` with everything escaped that a terminal would obey; line feeds and tabs stay. */
export function escapeControls(text: string): string {
  return text.replace(CONTROLS, character => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** As `escapeControls`, and on one line. */
export function oneLine(text: string): string {
  return escapeControls(text.replaceAll('\n', '\\n').replaceAll('\t', ' '))
}

/** JSON text with the same characters escaped inside its strings: still the same JSON. */
export function escapeJson(json: string): string {
  return json.replace(CONTROLS, character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
