import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

type Theme = 'auto' | 'light' | 'dark';

const STORED_THEME = 'stowage.theme';
const THEMES: readonly Theme[] = ['auto', 'light', 'dark'];

/** Switches between the theme of the system, light and dark. */
export function ThemeButton(): JSX.Element {
  const [theme, setTheme] = useState<Theme>(
    () => THEMES.find((one) => one === localStorage.getItem(STORED_THEME)) ?? 'auto',
  );
  useEffect(() => {
    localStorage.setItem(STORED_THEME, theme);
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? 'auto';
  return (
    <button type="button" onClick={() => setTheme(next)} title={`Switch to ${next}`}>
      Theme: {theme}
    </button>
  );
}
