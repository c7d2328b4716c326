import { render } from 'preact';
import { App } from './app';
import { takeLoginCode } from './session';
import './styles/base.css';
import './styles/page.css';
import './styles/card.css';
import './styles/table.css';

render(<App loginCode={takeLoginCode()} />, document.getElementById('app')!);
