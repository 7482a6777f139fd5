// Stands in for Grid.js where that library is not at hand: a plain HTML table with the same class names, sorted by a
// click on a heading, with a search field. Only what benchopt's pages use of Grid.js.
window.gridjs = {
  html: (markup) => ({ markup }),
  Grid: class {
    constructor(options) {
      this.columns = options.columns.map((column, index) => ({ ...column, index })).filter((c) => !c.hidden);
      this.data = options.data;
      this.wanted = "";
      this.order = null;
      this.ready = () => {};
    }
    on(event, callback) {
      if (event === "ready") this.ready = callback;
    }
    render(element) {
      const container = document.createElement("div");
      container.className = "gridjs-container";
      const search = document.createElement("input");
      search.type = "search";
      search.placeholder = "Type a keyword...";
      search.setAttribute("aria-label", "search the table");
      search.style.cssText = "margin: 4px; padding: 4px 8px; border: 1px solid #bbb";
      search.oninput = () => {
        this.wanted = search.value.toLowerCase();
        this.forceRender();
      };
      this.table = document.createElement("table");
      this.table.className = "gridjs-table";
      this.table.style.cssText = "border-collapse: collapse; width: 100%";
      const scroll = document.createElement("div");
      scroll.style.overflowX = "auto";
      scroll.append(this.table);
      container.append(search, scroll);
      element.append(container);
      this.forceRender();
      this.ready();
    }
    sortBy(position) {
      const ascending = !(this.order && this.order.position === position && this.order.ascending);
      const { index, sort } = this.columns[position];
      this.order = { position, ascending };
      this.data = [...this.data].sort((a, b) => (ascending ? 1 : -1) * sort.compare(a[index], b[index]));
      this.forceRender();
    }
    forceRender() {
      const cell = (tag, value) => {
        const made = document.createElement(tag);
        made.style.cssText = "border: 1px solid #ddd; padding: 6px 10px; text-align: left; white-space: nowrap";
        if (value && value.markup !== undefined) made.innerHTML = value.markup;
        else made.textContent = value ?? "";
        return made;
      };
      const head = document.createElement("tr");
      this.columns.forEach((column, position) => {
        const made = cell("th", "");
        made.className = "gridjs-th";
        made.scope = "col";
        const name = document.createElement("div");
        name.className = "gridjs-th-content";
        name.style.display = "inline-block";
        name.textContent = column.name;
        const button = document.createElement("button");
        button.setAttribute("aria-label", `sort by ${column.name}`);
        const sorted = this.order && this.order.position === position;
        button.className = "gridjs-sort" + (sorted ? ` gridjs-sort-${this.order.ascending ? "asc" : "desc"}` : "");
        button.textContent = sorted ? (this.order.ascending ? " ▲" : " ▼") : " ↕";
        made.style.cursor = "pointer";
        made.onclick = () => this.sortBy(position);
        made.append(name, button);
        head.append(made);
      });
      const shown = this.data.filter((row) => row.join(" ").toLowerCase().includes(this.wanted));
      const rows = shown.map((row) => {
        const made = document.createElement("tr");
        made.append(...this.columns.map(({ index, formatter }) => cell("td", formatter(row[index]))));
        return made;
      });
      const [thead, tbody] = ["thead", "tbody"].map((tag) => document.createElement(tag));
      thead.append(head);
      tbody.append(...rows);
      this.table.replaceChildren(thead, tbody);
    }
  },
};
