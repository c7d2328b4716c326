/** Brand is the name at the top of every page. */
export function Brand() {
  return (
    <h1 class="brand">
      <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
        <rect width="32" height="32" rx="9" />
        <path d="M7 21c6 0 6-10 12-10h6M20 6l5 5-5 5" />
      </svg>
      Conduit
    </h1>
  );
}
