"""What became of customers' questions, by the lake: proposals for the list of questions, and the figures of a desk week by week"""
