/** Size: a file that nobody can read in one sitting hides something, and so does a line that needs scrolling. */
import { type Finding, isCode, type SourceFile } from '../source.js';

export const FILE_LINES_MAX = 500;
export const LINE_COLUMNS_MAX = 140;

export function fileLength(file: SourceFile): readonly Finding[] {
  if (!isCode(file.path)) return [];
  const lines = file.text.replace(/\n$/, '').split('\n').length;
  if (lines <= FILE_LINES_MAX) return [];
  return [{ path: file.path, line: FILE_LINES_MAX + 1, message: `${lines} lines, at most ${FILE_LINES_MAX}: split it by idea` }];
}

export function lineLength(file: SourceFile): readonly Finding[] {
  if (!isCode(file.path)) return [];
  return file.text.split('\n').flatMap((text, index) => {
    const columns = Array.from(text).length;
    if (columns <= LINE_COLUMNS_MAX) return [];
    return [{ path: file.path, line: index + 1, message: `${columns} columns, at most ${LINE_COLUMNS_MAX}` }];
  });
}
